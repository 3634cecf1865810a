package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/audit"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/respond"
	"github.com/ironpost/ironpost/host/internal/state"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

const (
	// auditDir is the audit log's place in the data directory.
	auditDir = "audit"
	// actionAudit is the action by which heads of the audit log go to the sinks.
	actionAudit = "audit"
	// auditBatch is how many entries of the journal are recorded with one flush.
	auditBatch = 256
	// auditPause is how long it waits after an error.
	auditPause = 10 * time.Second
)

// auditTrail writes what operators change and what enforcers do into the audit log,
// and sends its head to the sinks.
type auditTrail struct {
	*audit.Log
	daemon *daemon

	mu   sync.Mutex
	sent audit.Head // the last head that the sinks were given
	err  error      // of what was written last, nil when it is there
}

// AuditDir returns the directory of the audit log of a host with this
// configuration.
func AuditDir(s Sources) (string, error) {
	c, err := config.Load(s.options())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return filepath.Join(c.Host().General.DataDir, auditDir), nil
}

// openAudit opens the audit log, after the journal: what is recorded last comes
// before that is closed.
func (d *daemon) openAudit(s config.Host) error {
	log, err := audit.Open(audit.Config{
		Dir: filepath.Join(d.dataDir, auditDir), KeepBytes: s.Audit.KeepBytes, Note: "the audit log of the host " + d.hostID,
	})
	if err != nil {
		return err
	}
	for _, text := range log.Findings() {
		d.log.Warn(text)
	}
	t := &auditTrail{Log: log, daemon: d, sent: log.Head()}
	d.trail = t
	d.later(func() {
		_ = t.write(audit.Record{Kind: audit.KindStop, Note: "the host stops"})
		if err := t.send(); err != nil {
			d.log.Error("the head of the audit log is not recorded", "error", err)
		}
		if err := t.Close(); err != nil {
			d.log.Error("the audit log was not closed cleanly", "error", err)
		}
	})
	_ = t.write(audit.Record{Kind: audit.KindStart, Note: fmt.Sprintf("Ironpost %s starts, mode %s", d.version, s.General.Mode)})
	return nil
}

// write records something, and keeps the error for people to see: the last writer's,
// whoever that is. Who has to know of his own records looks at what is returned.
func (t *auditTrail) write(records ...audit.Record) error {
	_, err := t.Append(records...)
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
	if err != nil {
		t.daemon.log.Error("the audit log lacks what happened now", "records", len(records), "error", err)
	}
	return err
}

// warning says what is wrong with the audit log, "" when nothing is.
func (t *auditTrail) warning() string {
	t.mu.Lock()
	err := t.err
	t.mu.Unlock()
	if err == nil {
		err = t.Err()
	}
	if err != nil {
		return fmt.Sprintf("The audit log cannot be written: %v", err)
	}
	return t.Damage()
}

// audit records an attempt to change something, and logs it. It returns when the
// record is on the disk.
func (d *daemon) audit(c control.Change) {
	fields := []any{"action", c.Action, "user", c.User, "request", c.Request}
	r := audit.Record{
		Kind: audit.KindChange, User: c.User, UID: &c.Caller.UID, PID: c.Caller.PID, Action: c.Action,
		Request: json.RawMessage(c.Request), Outcome: audit.OutcomeDone,
	}
	if c.Err != nil {
		r.Outcome, r.Error = audit.OutcomeFailed, c.Err.Error()
		if errors.Is(c.Err, control.ErrDenied) {
			r.Outcome = audit.OutcomeDenied
		}
		d.log.Warn("audit: change refused or failed", append(fields, "error", c.Err)...)
	} else {
		d.log.Info("audit: change made", fields...)
	}
	_ = d.trail.write(r)
}

// reloaded records that the configuration was loaded again without a call over the
// control socket, and why.
func (t *auditTrail) reloaded(why string, err error) {
	r := audit.Record{Kind: audit.KindChange, Action: "config reload", Note: why, Outcome: audit.OutcomeDone}
	if err != nil {
		r.Outcome, r.Error = audit.OutcomeFailed, err.Error()
	}
	_ = t.write(r)
}

// follow records every action event of the journal, each once and in order, until
// ctx is done. Where it came to is in the audit log itself.
func (t *auditTrail) follow(ctx context.Context) error {
	from := t.Journal() + 1
	if next := t.daemon.journal.Next(); from > next {
		_ = t.write(audit.Record{Kind: audit.KindGap, Note: fmt.Sprintf("the journal begins anew: it has %d entries, and entry %d was recorded", next-1, from-1)})
		from = 1
	}
	for {
		entries, err := t.daemon.journal.Read(ctx, from, auditBatch)
		switch {
		case ctx.Err() != nil || errors.Is(err, state.ErrJournalClosed) && len(entries) == 0:
			return nil
		case errors.Is(err, state.ErrGone) && len(entries) > 0:
			_ = t.write(audit.Record{Kind: audit.KindGap, Note: fmt.Sprintf("the journal has lost its entries %d to %d, with the actions in them", from, entries[0].Index-1)})
		case err != nil:
			t.daemon.log.Error("the audit log cannot follow the journal, trying again", "error", err)
			if !sleep(ctx, auditPause) {
				return nil
			}
			continue
		}
		if len(entries) == 0 {
			continue
		}
		for !t.record(entries) {
			if !sleep(ctx, auditPause) {
				return nil
			}
		}
		from = entries[len(entries)-1].Index + 1
	}
}

// record writes the action events among entries of the journal.
func (t *auditTrail) record(entries []state.Entry) bool {
	var records []audit.Record
	for _, e := range entries {
		if pb.Kind(e.Kind) != pb.Kind_KIND_ACTION {
			continue
		}
		var a pb.ActionEvent
		if err := proto.Unmarshal(e.Data, &a); err != nil {
			records = append(records, audit.Record{Kind: audit.KindGap, Journal: e.Index, Note: fmt.Sprintf("entry %d of the journal is no action: %v", e.Index, err)})
			continue
		}
		if a.Enforcer == respond.HostName && a.Action == actionAudit {
			continue // of its own making: each would make the next
		}
		records = append(records, audit.Record{Kind: audit.KindAction, Journal: e.Index, Event: view.AppendAction(nil, &a)})
	}
	if len(records) > 0 {
		if err := t.write(records...); err != nil {
			return false
		}
	}
	t.Passed(entries[len(entries)-1].Index)
	return true
}

// sendHeads sends the head to the sinks at an interval, until ctx is done.
func (t *auditTrail) sendHeads(ctx context.Context, interval time.Duration) error {
	for sleep(ctx, interval) {
		if err := t.send(); err != nil {
			t.daemon.log.Error("the head of the audit log is not sent", "error", err)
		}
	}
	return nil
}

// send saves the head beside the log, and puts it into the journal for the sinks,
// unless they have it.
func (t *auditTrail) send() error {
	if err := t.SaveHead(); err != nil {
		return err
	}
	head := t.Head()
	t.mu.Lock()
	defer t.mu.Unlock()
	if head == t.sent {
		return nil
	}
	now := time.Now()
	data, err := proto.Marshal(&pb.ActionEvent{
		Id: head.Hash.String()[:32], Time: uint64(now.UnixNano()), Enforcer: respond.HostName, Action: actionAudit, Target: head.String(),
		Outcome: pb.Outcome_OUTCOME_APPLIED, Mode: string(t.daemon.responder.Mode()),
		Reason: fmt.Sprintf("the audit log ends at record %d; to check it: ironpost audit verify --head %s", head.Sequence, head),
		Details: []*pb.Field{
			{Key: "seq", Value: strconv.FormatUint(head.Sequence, 10)},
			{Key: "hash", Value: head.Hash.String()},
			{Key: "time", Value: now.UTC().Format(time.RFC3339Nano)},
		},
	})
	if err != nil {
		return fmt.Errorf("encode the head of the audit log: %w", err)
	}
	if _, err := t.daemon.journal.Append(uint8(pb.Kind_KIND_ACTION), data); err != nil {
		return err
	}
	t.sent = head
	return nil
}

// sleep waits, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
