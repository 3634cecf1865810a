package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/host/internal/audit"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/incident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Where evidence of containers is kept: the value of a key in the section of the
// enforcer, which by default is its own folder below the data directory.
const (
	evidenceSection = "container"
	evidenceKey     = "evidence_dir"
	evidenceDefault = "data:enforcer-docker"
	evidenceAction  = "evidence"
	// evidenceManifest is the detail of an action that holds the manifest's SHA-256.
	evidenceManifest = "evidence_manifest"
)

// evidenceDir returns the folder of evidence of a host with this configuration.
func evidenceDir(c *config.Config) string {
	dir, _ := c.Section(evidenceSection)[evidenceKey].(string)
	if own, ok := strings.CutPrefix(cmp.Or(dir, evidenceDefault), "data:"); ok {
		return filepath.Join(c.Host().General.DataDir, own)
	}
	return dir
}

// EvidenceConfig says which evidence to read without a host.
type EvidenceConfig struct {
	Sources
	// Dir is the folder of incidents; "" is that of the configuration.
	Dir string
	// ID names an incident, by its beginning of 8 letters or more, which is verified;
	// "" is all, the newest Limit of them, or all when that is 0.
	ID    string
	Limit int
	// Recorded is the SHA-256 of its manifest as it is known from elsewhere; "" is
	// looked for in the audit log of the configuration.
	Recorded string
}

// Evidence reads the evidence that a host kept. Its error wraps control.ErrNotFound
// when there is none of that name.
func Evidence(ctx context.Context, c EvidenceConfig) ([]*pb.Incident, error) {
	dir, log := c.Dir, ""
	if dir == "" || c.Recorded == "" {
		loaded, err := c.load(ctx, false)
		switch {
		case err == nil:
			dir, log = cmp.Or(dir, evidenceDir(loaded)), filepath.Join(loaded.Host().General.DataDir, auditDir)
		case dir == "":
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return evidence(ctx, dir, c.ID, c.Limit, func(id string) (string, error) {
		if c.Recorded != "" || log == "" {
			return c.Recorded, nil
		}
		recorded, err := recordedManifest(log, id)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return recorded, err
	})
}

// evidence lists incidents, or verifies the one that is named, whose manifest's hash
// recorded knows.
func evidence(ctx context.Context, dir, id string, limit int, recorded func(id string) (string, error)) ([]*pb.Incident, error) {
	if id == "" {
		list, err := incident.List(dir, limit)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // nothing was ever kept
		}
		return list, err
	}
	id, err := incident.Find(dir, id)
	var sum string
	if err == nil {
		sum, err = recorded(id)
	}
	var one *pb.Incident
	if err == nil {
		one, err = incident.Verify(ctx, dir, id, sum)
	}
	switch {
	case errors.Is(err, incident.ErrNone):
		return nil, fmt.Errorf("%w: %w; see: ironpost guard evidence", control.ErrNotFound, err)
	case errors.Is(err, incident.ErrAmbiguous):
		return nil, fmt.Errorf("%w: %w", control.ErrInvalid, err)
	case err != nil:
		return nil, err
	}
	return []*pb.Incident{one}, nil
}

// recordedManifest looks in an audit log for the hash of an incident's manifest, ""
// when it is not there.
func recordedManifest(dir, id string) (string, error) {
	const most = 20000 // records at a time
	for from := uint64(1); ; {
		records, _, err := audit.Read(dir, audit.Query{From: from, Kinds: []string{audit.KindAction}, Limit: most})
		if err != nil {
			return "", fmt.Errorf("look for the evidence in the audit log: %w", err)
		}
		for i := range records {
			if !bytes.Contains(records[i].Event, []byte(evidenceManifest)) {
				continue
			}
			var a struct {
				ID      string            `json:"id"`
				Action  string            `json:"action"`
				Details map[string]string `json:"details"`
			}
			if json.Unmarshal(records[i].Event, &a) == nil && a.ID == id && a.Action == evidenceAction && a.Details[evidenceManifest] != "" {
				return a.Details[evidenceManifest], nil
			}
		}
		if len(records) < most {
			return "", nil
		}
		from = records[len(records)-1].Sequence + 1
	}
}

// ListEvidence implements control.Guard.
func (a answers) ListEvidence(ctx context.Context, id string, limit int) ([]*pb.Incident, error) {
	a.d.mu.RLock()
	dir := evidenceDir(a.d.current)
	a.d.mu.RUnlock()
	return evidence(ctx, dir, id, limit, func(id string) (string, error) {
		if sum := a.d.guard.Recorded(id, evidenceManifest); sum != "" {
			return sum, nil
		}
		return recordedManifest(filepath.Join(a.d.dataDir, auditDir), id)
	})
}

// DisableGuard implements control.Guard.
func (a answers) DisableGuard(ctx context.Context, release bool, reason, actor string) (*pb.GuardSwitchResponse, error) {
	s, ending, err := a.d.guard.Disable(ctx, actor, reason, release)
	return &pb.GuardSwitchResponse{State: s, Intents: ending}, err
}

// EnableGuard implements control.Guard.
func (a answers) EnableGuard(ctx context.Context, actor string) (*pb.GuardSwitchResponse, error) {
	s, err := a.d.guard.Enable(ctx, actor)
	return &pb.GuardSwitchResponse{State: s}, err
}
