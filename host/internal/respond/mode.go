package respond

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// modeDoc is the mode as it is kept.
type modeDoc struct {
	Mode config.Mode `json:"mode"`
	// Previous is the mode before; the one to fall back to while Pending.
	Previous config.Mode `json:"previous,omitempty"`
	// File is the mode of the file when this one was set: a file that says
	// something else since was edited later, and wins.
	File config.Mode `json:"file"`
	// Pending is when an unconfirmed mode ends; nil when none is.
	Pending *expiry.Stamp `json:"pending,omitempty"`
}

const modeKey = "mode"

func validMode(m config.Mode) bool {
	return m == config.Detect || m == config.Simulate || m == config.Enforce
}

// loadMode finds the mode to begin with: the command line's, else the one that
// was set at run time under the same file, else the file's. A change that was
// not confirmed before the host ended falls back.
func (r *Responder) loadMode(override config.Mode) error {
	if r.policy.Mode == "" {
		r.policy.Mode = config.Simulate
	}
	for _, m := range []config.Mode{r.policy.Mode, override} {
		if m != "" && !validMode(m) {
			return fmt.Errorf("%q is no mode; allowed are detect, simulate, enforce", m)
		}
	}
	r.mode = modeDoc{Mode: r.policy.Mode, File: r.policy.Mode}
	saved, found, err := r.modeTable.Get(modeKey)
	switch {
	case err != nil:
		r.problem("the mode that was set cannot be read; the configured one holds", err)
	case found && validMode(saved.Mode) && saved.File == r.policy.Mode:
		r.mode = saved
	}
	if r.mode.Pending != nil {
		r.fellBack = true
		if err := r.fallBack(); err != nil {
			return err
		}
	}
	if override != "" {
		r.mode.Mode = override
	}
	return nil
}

// fallBack takes the change back that was not confirmed; r.mu is held, or nobody
// else has r yet.
func (r *Responder) fallBack() error {
	to := r.mode.Previous
	if !validMode(to) {
		to = config.Simulate
	}
	return r.enter(modeDoc{Mode: to, Previous: r.mode.Mode, File: r.policy.Mode})
}

// enter makes a mode hold. It is kept first, so that a host that dies in between
// wakes up in it; r.mu is held, or nobody else has r yet. Also when it cannot be
// kept, filters drop nothing that the new mode would not.
func (r *Responder) enter(doc modeDoc) error {
	keepErr := r.modeTable.Put(modeKey, doc)
	if keepErr != nil && doc.Mode == config.Enforce {
		return keepErr
	}
	r.mode = doc
	errs := []error{keepErr}
	for name, a := range r.filters {
		switch {
		case a.failed == nil:
			a.failed, a.since = a.SetSimulate(doc.Mode != config.Enforce), r.clock.Boot()
		case doc.Mode == config.Enforce:
			r.fill(a) // it may lack its allow list
		default:
			a.failed = errors.Join(a.failed, a.SetSimulate(true))
		}
		if a.failed != nil {
			errs = append(errs, fmt.Errorf("switch %s: %w", name, a.failed))
		}
	}
	r.nudge()
	return errors.Join(errs...)
}

func (r *Responder) sayFallBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fellBack {
		r.fellBack = false
		r.say(pb.Outcome_OUTCOME_RELEASED, actionMode, string(r.mode.Mode),
			fmt.Sprintf("The mode %s was not confirmed before the host ended; it fell back to %s.", r.mode.Previous, r.mode.Mode))
	}
}

// expireMode falls back when it is time, and returns how long until then; r.mu
// is held.
func (r *Responder) expireMode() time.Duration {
	if r.mode.Pending == nil {
		return expiry.Forever
	}
	if left := r.clock.Remaining(*r.mode.Pending); left > 0 {
		return left
	}
	if err := r.fallBack(); err != nil {
		r.log.Error("cannot fall back whole", "error", err)
	}
	r.say(pb.Outcome_OUTCOME_RELEASED, actionMode, string(r.mode.Mode),
		fmt.Sprintf("The mode %s was not confirmed in time; it fell back to %s.", r.mode.Previous, r.mode.Mode))
	return expiry.Forever
}

// Mode returns the mode in force.
func (r *Responder) Mode() config.Mode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode.Mode
}

// AskEnforcers reports whether alerts go to enforcers: not in detect.
func (r *Responder) AskEnforcers() bool { return r.Mode() != config.Detect }

// GetMode returns the mode in force and when it falls back.
func (r *Responder) GetMode(context.Context) (*pb.ModeResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.modeResponse(), nil
}

func (r *Responder) modeResponse() *pb.ModeResponse {
	resp := &pb.ModeResponse{Mode: string(r.mode.Mode), Previous: string(r.mode.Previous)}
	if p := r.mode.Pending; p != nil {
		resp.Reverts = timestamppb.New(r.clock.Wall().Add(max(r.clock.Remaining(*p), 0)))
	}
	return resp
}

// SetMode changes the mode and keeps it, over restarts too, until the file's
// mode is changed. With a confirm time above 0 the mode falls back to the last
// one that was final, after that time or at the next start, unless ConfirmMode
// is called before. It returns errors that wrap control.ErrInvalid; on another
// error the mode may hold on a part of the filters, which Run mends.
func (r *Responder) SetMode(_ context.Context, mode string, confirm time.Duration) (*pb.ModeResponse, error) {
	to := config.Mode(mode)
	if !validMode(to) {
		return nil, fmt.Errorf("%w: %q is no mode; allowed are detect, simulate, enforce", control.ErrInvalid, mode)
	}
	if confirm < 0 {
		return nil, fmt.Errorf("%w: confirm within %v", control.ErrInvalid, confirm)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	doc := modeDoc{Mode: to, Previous: r.mode.Mode, File: r.policy.Mode}
	if r.mode.Pending != nil {
		doc.Previous = r.mode.Previous // what is not confirmed is nothing to fall back to
	}
	if confirm > 0 && to != doc.Previous {
		s := r.clock.Stamp(confirm)
		doc.Pending = &s
	}
	if err := r.enter(doc); err != nil {
		return nil, fmt.Errorf("set the mode to %s: %w", to, err)
	}
	if to == doc.Previous {
		return r.modeResponse(), nil
	}
	r.say(pb.Outcome_OUTCOME_APPLIED, actionMode, mode, fmt.Sprintf("The mode was set from %s to %s.", doc.Previous, to))
	return r.modeResponse(), nil
}

// ConfirmMode makes the change final that waits, and returns control.ErrConflict
// when none does.
func (r *Responder) ConfirmMode(context.Context) (*pb.ModeResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mode.Pending == nil {
		return nil, fmt.Errorf("%w: no change of the mode waits to be confirmed; the mode is %s", control.ErrConflict, r.mode.Mode)
	}
	doc := r.mode
	doc.Pending = nil
	if err := r.modeTable.Put(modeKey, doc); err != nil {
		return nil, fmt.Errorf("confirm the mode %s: %w", doc.Mode, err)
	}
	r.mode = doc
	return r.modeResponse(), nil
}

// Reconfigure takes over a configuration that was changed. A mode that the file
// newly names holds at once and for good. Blocks that a new rule allows are
// removed.
func (r *Responder) Reconfigure(p Policy) error {
	if p.Mode == "" {
		p.Mode = config.Simulate
	}
	if !validMode(p.Mode) {
		return fmt.Errorf("%q is no mode; allowed are detect, simulate, enforce", p.Mode)
	}
	return errors.Join(r.adopt(p), r.releaseListed())
}

// adopt is Reconfigure but for what was imported.
func (r *Responder) adopt(p Policy) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := p.Mode != r.policy.Mode
	r.policy = p
	r.rebuild()
	errs := []error{r.releaseAllowed()}
	if changed {
		errs = append(errs, r.enter(modeDoc{Mode: p.Mode, Previous: r.mode.Mode, File: p.Mode}))
	}
	return errors.Join(errs...)
}
