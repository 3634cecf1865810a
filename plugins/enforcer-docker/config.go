package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk"
)

// bundleName is the set of files that holds the policies.
const bundleName = "policies"

// config is the section [container].
type config struct {
	Policies      []string      `config:"policies" help:"files and folders of policies"`
	DefaultTTL    time.Duration `config:"default_ttl" min:"1s" max:"720h" help:"how long an answer lasts that an operator asks for, or a policy of the old form, and names no time"`
	Critical      []string      `config:"critical" help:"patterns of names and images of containers that nothing is ever done to, as those with the label ironpost.protect=true"`
	OptIn         bool          `config:"opt_in" help:"answer only on containers with the label ironpost.enforce=true"`
	StopApprovals int           `config:"stop_approvals" min:"0" max:"2" help:"operators that have to agree before a container is stopped or killed, whatever the policy says"`
	Destination   bool          `config:"answer_destination" help:"let an alert of the host be about the container of its destination address, which is the victim"`
	Forgeable     bool          `config:"answer_forgeable" help:"answer on evidence whose addresses may be forged: others can then have containers isolated"`

	EvidenceDir       string   `config:"evidence_dir" help:"where evidence is kept, a folder an incident; data:enforcer-docker is the plugin's own below the host's data directory"`
	EvidenceBytes     sdk.Size `config:"evidence_bytes" min:"1048576" help:"bound of all evidence on disk; the oldest goes first"`
	EvidenceIncidents int      `config:"evidence_incidents" min:"1" max:"100000" help:"incidents of which evidence is kept; the oldest goes first"`
	EvidenceTail      int      `config:"evidence_tail" min:"1" max:"100000" help:"lines of a container's output that are kept, the last ones"`

	// What policies may export needs a call of Docker that shows all files of all
	// containers: the plugin has it only where it stands here.
	DockerCalls []string      `config:"docker_calls" help:"further calls of Docker that are granted to the plugin: 'GET /containers/*/export' lets policies keep the files of a container as evidence"`
	ExportBytes sdk.Size      `config:"evidence_export_bytes" min:"1048576" help:"bound of the export of one container; what is beyond is cut off"`
	ExportTime  time.Duration `config:"evidence_export_time" min:"1s" max:"20s" help:"how long the export of one container may take, while which other answers on it wait; what is beyond is cut off"`
}

func defaults() config {
	return config{
		Policies: []string{"rules/policies"}, DefaultTTL: time.Hour, Critical: []string{"ironpost*"},
		EvidenceDir: "data:enforcer-docker", EvidenceBytes: 256 << 20, EvidenceIncidents: 1000, EvidenceTail: 1000,
		DockerCalls: []string{}, ExportBytes: 64 << 20, ExportTime: 10 * time.Second,
	}
}

// Bounds of the list of critical containers.
const (
	maxCritical     = 256
	maxCriticalText = 256
)

// validate names the key that is wrong, of those that the SDK cannot check.
func (c *config) validate() error {
	switch {
	case c.DefaultTTL < policy.MinTTL || c.DefaultTTL > policy.MaxTTL:
		return fmt.Errorf("default_ttl = %s: want %s to %s", c.DefaultTTL, policy.MinTTL, policy.MaxTTL)
	case len(c.Critical) > maxCritical:
		return fmt.Errorf("critical has %d patterns: want at most %d", len(c.Critical), maxCritical)
	case slices.ContainsFunc(c.DockerCalls, func(call string) bool { return call != engine.ExportCall }):
		return fmt.Errorf("docker_calls = %q: want none, or %q", c.DockerCalls, engine.ExportCall)
	case c.ExportBytes > c.EvidenceBytes:
		return fmt.Errorf("evidence_export_bytes = %d: want at most evidence_bytes = %d", c.ExportBytes, c.EvidenceBytes)
	case !filepath.IsAbs(c.EvidenceDir):
		return fmt.Errorf("evidence_dir = %q: write the absolute path", c.EvidenceDir)
	}
	for _, p := range c.Critical {
		if p == "" || len(p) > maxCriticalText {
			return fmt.Errorf("critical: want patterns of 1 to %d bytes", maxCriticalText)
		}
	}
	return nil
}

// store is how evidence is kept.
func (c *config) store() evidence.Config {
	return evidence.Config{
		Dir: c.EvidenceDir, Bytes: int64(c.EvidenceBytes), Incidents: c.EvidenceIncidents, Tail: c.EvidenceTail,
		ExportBytes: int64(c.ExportBytes), ExportTime: c.ExportTime,
	}
}
