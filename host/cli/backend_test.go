//go:build linux

package cli

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/silence"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// hostile is what an attacker can put into a log line: a sequence that clears
// the screen and sets the title, an override of the writing direction, a line end.
const hostile = "\x1b[2J\x1b]0;owned\a\u202egnp.exe\nroot"

var began = time.Date(2024, 12, 10, 6, 55, 46, 0, time.UTC)

// backend is a host in memory for the scripts.
type backend struct {
	mu     sync.Mutex
	mode   string
	state  map[string]string
	blocks addressStore
	allows addressStore
	rules  ruleStore

	silences silenceStore
	note     string // of the last change of an alert
}

// silenceStore has one silence, until it is removed.
type silenceStore struct{ one *ironpostv1.Silence }

func (s *silenceStore) Add(_ context.Context, r *ironpostv1.SilenceRequest, by string) (*ironpostv1.Silence, error) {
	if _, err := silence.Preview(r); err != nil {
		return nil, err
	}
	s.one = &ironpostv1.Silence{
		Id: "5a5a5a5a5a5a", Rules: r.GetRules(), Entities: r.GetEntities(), Detectors: r.GetDetectors(), MaxSeverity: r.GetMaxSeverity(),
		Reason: r.GetReason() + hostile, By: "alice", State: "active", Created: timestamppb.New(began), Held: 3,
		Expires: timestamppb.New(began.Add(time.Duration(r.GetTtlSeconds() * float64(time.Second)))),
	}
	if by == "" {
		return nil, errors.New("nobody makes a silence")
	}
	return s.one, nil
}

func (s *silenceStore) List(_ context.Context, all bool) ([]*ironpostv1.Silence, error) {
	if s.one == nil || s.one.GetState() != "active" && !all {
		return nil, nil
	}
	return []*ironpostv1.Silence{s.one}, nil
}

func (s *silenceStore) Remove(_ context.Context, id, by string) (*ironpostv1.Silence, error) {
	if s.one == nil || !strings.HasPrefix(s.one.GetId(), id) {
		return nil, fmt.Errorf("silence %s: %w; see: ironpost alerts silence list", id, control.ErrNotFound)
	}
	s.one.State, s.one.RemovedBy = "removed", by
	return s.one, nil
}

func newBackend() *backend {
	return &backend{mode: "simulate", state: map[string]string{}}
}

func (b *backend) parts() control.Backend {
	return control.Backend{
		Status: b, Plugins: b, Logs: b, Changer: b, Remover: b, Trust: b, Rules: b, Events: b, Store: b,
		Blocks: &b.blocks, BlockRules: &b.rules, Allows: &b.allows, Checker: b, Mode: b, Config: b, Quarantine: b, Filters: b, Guard: b, Silences: &b.silences,
	}
}

func (b *backend) Status(context.Context) (*ironpostv1.StatusResponse, error) {
	return &ironpostv1.StatusResponse{
		Version: "0.1.0", Mode: "simulate", HostId: "host-1", Pid: 4711, Started: timestamppb.New(began),
		Plugins: map[string]uint32{"running": 2, "refused": 1}, Received: 1000, Parsed: 990, Unparsed: 10, Alerts: 9,
		UnparsedReasons: []*ironpostv1.Count{{Name: "bad_priority", Value: 10}},
		Dropped:         []*ironpostv1.Drop{{Stage: "source", Reason: "buffer_full", Count: 3}},
		Interfaces:      []*ironpostv1.Interface{{Name: "eth0", Mode: "native", Packets: 5, Bytes: 2048}},
		CoverageGaps:    []*ironpostv1.CoverageGap{{Plugin: "detector-rules", From: timestamppb.New(began), To: timestamppb.New(began.Add(time.Second)), Events: 7, Reason: "restart"}},
		Warnings:        []string{"section [contanier] has no owner; did you mean [container]? " + hostile},
	}, nil
}

func plugin(name string) *ironpostv1.PluginStatus {
	return &ironpostv1.PluginStatus{
		Name: name, Kinds: []string{"parser"}, Version: "0.1.0", Api: 1, Enabled: true, State: "running",
		Health: "ok", UptimeSeconds: 3723, Trust: "built-in", Pid: 99, Sha256: strings.Repeat("ab", 32),
		RssBytes: 13 << 20, CpuSeconds: 1.5, EventsPerSecond: 12.25, Events: 990, Bytes: 99000, Alerts: 7, HeapObjectsAllocated: 4321,
	}
}

func (b *backend) ListPlugins(context.Context) ([]*ironpostv1.PluginStatus, error) {
	return []*ironpostv1.PluginStatus{plugin("parser-syslog"), {
		Name: "not-a-plugin" + hostile, State: "refused", Code: "IP107", LastError: "not answered within 5 s" + hostile,
	}}, nil
}

func (b *backend) PluginLogs(_ context.Context, name string, last int, _ bool, emit func([]*ironpostv1.PluginLogLine) error) error {
	if name != "parser-syslog" {
		return fmt.Errorf("%w: no plugin %s; see: ironpost plugin list", control.ErrNotFound, name)
	}
	lines := []*ironpostv1.PluginLogLine{
		{Time: timestamppb.New(began), Level: "info", From: "plugin", Message: "ready" + hostile},
		{Time: timestamppb.New(began), Level: "warn", From: "host", Message: "plugin ended, starting it again"},
	}
	return emit(lines[max(0, len(lines)-last):])
}

func (b *backend) PluginInfo(_ context.Context, name string) (*ironpostv1.PluginInfoResponse, error) {
	if name != "parser-syslog" {
		return nil, fmt.Errorf("%w: no plugin %s; see: ironpost plugin list", control.ErrNotFound, name)
	}
	return &ironpostv1.PluginInfoResponse{
		Status: plugin(name),
		Description: &ironpostv1.Description{
			Name: name, Summary: "Syslog lines" + hostile, Section: "parser_syslog", Format: "syslog",
			Config: []*ironpostv1.ConfigField{{Key: "strict", Type: ironpostv1.ConfigField_TYPE_BOOL, Default: "false", Help: "refuse lines without a priority"}},
		},
		Path: "/usr/lib/ironpost/plugins/parser-syslog", Confinement: []string{"landlock: no files"}, Unenforced: []string{"seccomp: not in this kernel"},
		Counters: []*ironpostv1.Count{{Name: "parsed", Value: 990}}, Signature: "key 0123 (parser-syslog 0.1.0)",
		NotGranted: []string{"read /etc/shadow (paths says so since the plugin was enabled)"},
	}, nil
}

func (b *backend) EnablePlugin(ctx context.Context, name, digest string) (*ironpostv1.PluginInfoResponse, error) {
	if digest != "" && digest != strings.Repeat("ab", 32) {
		return nil, fmt.Errorf("%w: %s has other bytes", control.ErrConflict, name)
	}
	return b.PluginInfo(ctx, name)
}

func (b *backend) RemovePlugin(_ context.Context, name string, force bool) (*ironpostv1.RemovePluginResponse, error) {
	if name == "parser-syslog" && !force {
		return nil, fmt.Errorf("%w: parser-syslog was built with the host", control.ErrConflict)
	}
	return &ironpostv1.RemovePluginResponse{Name: name, Path: "/p/" + name, Unpinned: true}, nil
}

func (b *backend) PluginTrust(context.Context) (*ironpostv1.PluginTrustResponse, error) {
	return &ironpostv1.PluginTrustResponse{Dirs: []string{"/p"}}, nil
}

func (b *backend) DisablePlugin(context.Context, string) (*ironpostv1.PluginInfoResponse, error) {
	return nil, fmt.Errorf("%w: plugin parser-syslog is disabled by the file", control.ErrConflict)
}

func (b *backend) ReloadPlugin(ctx context.Context, name string) (*ironpostv1.PluginInfoResponse, error) {
	return b.PluginInfo(ctx, name)
}

func (b *backend) ListRules(context.Context) ([]*ironpostv1.Rule, error) {
	return []*ironpostv1.Rule{{
		Id: "ssh_brute_force", Title: "SSH Brute Force Attack", Severity: ironpostv1.Severity_SEVERITY_HIGH,
		File: "rules/ssh.yaml", Hits: 9, Alerts: 2, CostNs: 12.345, LastHit: uint64(began.UnixNano()), Status: "stable",
		LogSource: "*/ironpost/*",
	}}, nil
}

func logEvent() *ironpostv1.LogEvent {
	return &ironpostv1.LogEvent{
		Time: uint64(began.UnixNano()), ObservedTime: uint64(began.UnixNano()), Host: "web1", Process: "sshd", Pid: 24200,
		Message: "Failed password for " + hostile, Id: &ironpostv1.EventID{Stream: 7, Sequence: 42},
		Fields: []*ironpostv1.Field{{Key: "src_ip", Value: "192.0.2.7"}},
	}
}

func (b *backend) alert(id string) *ironpostv1.AlertEvent {
	var history []*ironpostv1.AlertChange
	if b.state[id] != "" {
		history = append(history, &ironpostv1.AlertChange{Time: uint64(began.UnixNano()), State: b.state[id], Actor: "alice", Note: b.note + hostile})
	}
	return &ironpostv1.AlertEvent{
		History: history,
		Id:      id, Time: uint64(began.UnixNano()), RuleId: "ssh_brute_force", Title: "SSH Brute Force Attack",
		Severity: ironpostv1.Severity_SEVERITY_HIGH, Detector: "detector-rules", Count: 5, TraceId: make([]byte, 16),
		Entities: []*ironpostv1.Field{{Key: "src_ip", Value: "192.0.2.7"}, {Key: "user", Value: hostile}},
		Logs:     []*ironpostv1.LogEvent{logEvent()}, State: b.state[id], Evidence: ironpostv1.Evidence_EVIDENCE_CONFIRMED,
	}
}

func (b *backend) Query(_ context.Context, q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.GetKind() == ironpostv1.Kind_KIND_ACTION {
		return send(&ironpostv1.Batch{Actions: []*ironpostv1.ActionEvent{{
			Id: "a-1", Time: uint64(began.UnixNano()), AlertId: "0011223344556677", Enforcer: "enforcer-xdp", Action: "block",
			Target: "192.0.2.7/32", Outcome: ironpostv1.Outcome_OUTCOME_SIMULATED, Mode: "simulate", Expires: uint64(began.Add(time.Hour).UnixNano()),
		}}})
	}
	if q.GetKind() == ironpostv1.Kind_KIND_INVENTORY {
		return queryInventory(q, send)
	}
	for i, id := range []string{"00112233445566778899aabbccddeeff", "001122334455667788ffffffffffffff", "55112233445566778899aabbccddeeff"} {
		if !strings.HasPrefix(id, q.GetId()) {
			continue
		}
		a := b.alert(id)
		if i == 2 && b.silences.one == nil {
			continue // raised while a silence held
		} else if i == 2 {
			a.SilencedBy = b.silences.one.GetId()
		}
		if q.GetMinSeverity() > a.GetSeverity() || q.GetState() != "" && q.GetState() != cmp.Or(a.GetState(), "open") {
			continue
		}
		if err := send(&ironpostv1.Batch{Alerts: []*ironpostv1.AlertEvent{a}}); err != nil {
			return err
		}
	}
	return nil
}

// queryInventory answers with two packages when it is asked for none, and else with
// one, whose license names what was asked for.
func queryInventory(q *ironpostv1.QueryRequest, send func(*ironpostv1.Batch) error) error {
	id := strings.Repeat("ab", 32)
	flawed := &ironpostv1.InventoryEvent{
		Id: "e1", Time: uint64(began.UnixNano()), Target: "container:" + id, Name: "log4j-core", Version: "2.14.1", Ecosystem: "Maven",
		Purl: "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", InUse: true, Locations: []string{"/app/" + hostile},
		Findings: []*ironpostv1.Finding{
			{Id: "GHSA-jfh8-c2jp-5v3q", Aliases: []string{"CVE-2021-44228"}, Severity: ironpostv1.Severity_SEVERITY_CRITICAL, Score: 10, Fixed: "2.15.0", Kev: true},
			{Id: "CVE-2021-45105", Severity: ironpostv1.Severity_SEVERITY_MEDIUM, Fixed: "2.15.0"},
		},
	}
	if len(q.GetEqual()) == 0 && q.GetMinSeverity() == 0 {
		plain := &ironpostv1.InventoryEvent{Id: "e2", Target: "host", TargetName: "this host", Name: hostile, Version: "1"}
		return send(&ironpostv1.Batch{Inventory: []*ironpostv1.InventoryEvent{flawed, plain}})
	}
	for _, f := range q.GetEqual() {
		flawed.Licenses = append(flawed.Licenses, f.GetKey()+"="+f.GetValue())
	}
	return send(&ironpostv1.Batch{Inventory: []*ironpostv1.InventoryEvent{flawed}})
}

func (b *backend) UpdateAlert(_ context.Context, u *ironpostv1.UpdateRequest) (*ironpostv1.UpdateResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state[u.GetAlertId()], b.note = u.GetState(), u.GetNote()
	r := &ironpostv1.UpdateResponse{Found: true}
	if b.note == "one store is away" {
		r.Missed = []string{"sink-away: PostgreSQL at db1:5432 cannot be reached\x1b"}
	}
	return r, nil
}

func (b *backend) Tail(_ context.Context, _ []ironpostv1.Kind, emit func(*ironpostv1.Frame)) error {
	for i := range uint64(3) {
		e := logEvent()
		e.Id = nil
		payload, err := proto.Marshal(&ironpostv1.Batch{Logs: []*ironpostv1.LogEvent{e}})
		if err != nil {
			return err
		}
		origin, err := proto.Marshal(&ironpostv1.Origin{Name: "/var/log/auth.log"})
		if err != nil {
			return err
		}
		emit(ironpostv1.NewFrame(ironpostv1.Header{
			Stream: 7, FirstSequence: i, Kind: ironpostv1.Kind_KIND_LOG, Count: 1, Origin: origin,
		}, &payload, nil))
	}
	return nil
}

func (b *backend) Check(_ context.Context, p netip.Prefix) (*ironpostv1.CheckResponse, error) {
	return &ironpostv1.CheckResponse{Prefix: p.String(), Verdict: "allowed", Reason: "[respond] allow"}, nil
}

func (b *backend) GetMode(context.Context) (*ironpostv1.ModeResponse, error) {
	return &ironpostv1.ModeResponse{Mode: b.mode}, nil
}

func (b *backend) SetMode(_ context.Context, mode string, confirm time.Duration) (*ironpostv1.ModeResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	resp := &ironpostv1.ModeResponse{Mode: mode, Previous: b.mode}
	if confirm > 0 {
		resp.Reverts = timestamppb.New(began.Add(confirm))
	}
	b.mode = mode
	return resp, nil
}

func (b *backend) ConfirmMode(context.Context) (*ironpostv1.ModeResponse, error) {
	return nil, fmt.Errorf("%w: no change of mode waits to be confirmed", control.ErrConflict)
}

func (b *backend) ShowConfig(context.Context) ([]*ironpostv1.ConfigValue, error) {
	return []*ironpostv1.ConfigValue{{Key: "general.mode", Value: "simulate", Origin: "default"}}, nil
}

func (b *backend) ReloadConfig(context.Context) (*ironpostv1.ReloadConfigResponse, error) {
	return &ironpostv1.ReloadConfigResponse{Applied: []string{"general.log_level"}, NeedsRestart: []string{"control.socket"}}, nil
}

// addressStore is an address list in memory.
type addressStore struct {
	mu      sync.Mutex
	entries []*ironpostv1.Block
}

func (l *addressStore) Add(_ context.Context, e control.Entry) (*ironpostv1.BlockResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Prefix.Bits() == 0 {
		return nil, fmt.Errorf("%w: %s is everything", control.ErrConflict, e.Prefix)
	}
	for _, have := range l.entries {
		if have.GetPrefix() == e.Prefix.String() {
			return &ironpostv1.BlockResponse{Block: have}, nil
		}
	}
	b := &ironpostv1.Block{Prefix: e.Prefix.String(), Reason: e.Reason, Source: "operator", Created: timestamppb.New(began), Effect: "simulated", Action: "block", Limit: e.Limit, Burst: e.Burst, DryRun: e.DryRun}
	if e.Limit > 0 {
		b.Action = "limit"
	}
	if e.TTL > 0 {
		b.Expires = timestamppb.New(began.Add(e.TTL))
	}
	l.entries = append(l.entries, b)
	return &ironpostv1.BlockResponse{Changed: true, Block: b}, nil
}

func (l *addressStore) Remove(_ context.Context, p netip.Prefix) (*ironpostv1.BlockResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, have := range l.entries {
		if have.GetPrefix() == p.String() {
			l.entries = append(l.entries[:i], l.entries[i+1:]...)
			return &ironpostv1.BlockResponse{Changed: true, Block: have}, nil
		}
	}
	return &ironpostv1.BlockResponse{}, nil
}

// List filters nothing but by After, which it takes for a place.
func (l *addressStore) List(_ context.Context, q control.Page) (*ironpostv1.ListBlocksResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	resp := &ironpostv1.ListBlocksResponse{Total: uint64(len(l.entries))}
	from := slices.IndexFunc(l.entries, func(b *ironpostv1.Block) bool { return b.GetPrefix() == q.After.String() }) + 1
	to := min(from+q.Limit, len(l.entries))
	if resp.Blocks = l.entries[from:to]; to < len(l.entries) && to > from {
		resp.Next = l.entries[to-1].GetPrefix()
	}
	return resp, nil
}

func (l *addressStore) Import(ctx context.Context, in control.Import) (*ironpostv1.ImportResponse, error) {
	resp := &ironpostv1.ImportResponse{DryRun: in.DryRun, List: &ironpostv1.BlockList{Name: cmp.Or(in.List, control.DefaultList)}}
	for addr, bits := range in.Networks.All4() {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, addr))), int(bits))
		switch added, err := l.Add(ctx, control.Entry{Prefix: p, TTL: in.TTL, Reason: in.Reason}); {
		case err != nil:
			resp.Refused++
			resp.Problems = append(resp.Problems, &ironpostv1.BlockProblem{Prefix: p.String(), Reason: err.Error()})
		case added.GetChanged():
			resp.Added++
		default:
			resp.Unchanged++
		}
	}
	resp.List.Networks = resp.Added + resp.Unchanged
	return resp, nil
}

func (l *addressStore) Lists(context.Context) ([]*ironpostv1.BlockList, error) {
	return []*ironpostv1.BlockList{{Name: "spamhaus", Networks: 1000, Created: timestamppb.New(began), Expires: timestamppb.New(began.Add(time.Hour)), Reason: "DROP" + hostile}}, nil
}

func (l *addressStore) RemoveList(_ context.Context, name string) (*ironpostv1.BlockList, error) {
	if name != "spamhaus" {
		return nil, fmt.Errorf("%w: no list is called %s", control.ErrNotFound, name)
	}
	return &ironpostv1.BlockList{Name: name, Networks: 1000}, nil
}

// acme is the description of a plugin that is not there yet.
func acme() *ironpostv1.Description {
	return &ironpostv1.Description{
		Name: "parser-acme", Version: "1.2.3", Summary: "Logs of Acme" + hostile, Api: 1, Kinds: []string{"parser"}, Format: "acme",
		Permissions: &ironpostv1.Permissions{Read: []string{"/var/log/acme"}, Listen: []string{"udp://0.0.0.0:514"}},
	}
}

// fakeApp answers for the host's own functions in the scripts.
func fakeApp() App {
	return App{
		Run: func(_ context.Context, c RunConfig) error {
			fmt.Fprintf(c.Stdout, "run config=%q data=%q plugins=%q socket=%q\n", c.ConfigFile, c.DataDir, c.PluginDirs, c.Socket)
			return nil
		},
		Replay: func(_ context.Context, c ReplayConfig) (ReplaySummary, error) {
			fmt.Fprintf(c.Stdout, "{\"files\":%q}\n", strings.Join(c.Files, " "))
			return ReplaySummary{Files: len(c.Files), Records: 2000, Parsed: 1998, Unparsed: 2, Alerts: 9, UnparsedReasons: map[string]uint64{"bad_priority": 2}}, nil
		},
		Parse: func(_ context.Context, c ParseConfig) error {
			fmt.Fprintf(c.Stdout, "{\"format\":%q,\"reference\":%q}\n", c.Format, c.ReferenceTime.Format(time.RFC3339))
			return nil
		},
		Evidence:   offlineEvidence,
		Scan:       fakeScan,
		Advisories: fakeAdvisories,
		UpdateAdvisories: func(ctx context.Context, c UpdateConfig) error {
			if len(c.From) == 0 {
				return invalid("nothing says from where")
			}
			err := fakeAdvisories(ctx, AdvisoriesConfig{Import: c.From, Stdout: c.Stdout})
			if slices.Contains(c.Ecosystems, "PyPI") {
				err = errors.New("PyPI/all.zip: the server answered 404" + hostile)
			}
			return err
		},
		ExportAdvisories: func(_ context.Context, _ Sources, out, _ io.Writer) error {
			_, err := io.WriteString(out, "a bundle")
			return err
		},
		ValidateRules: func(_ context.Context, c RulesConfig) (*ironpostv1.BundleResponse, error) {
			resp := &ironpostv1.BundleResponse{Files: 2, Rules: 2, Loaded: 2}
			if strings.Contains(c.Paths[0], "bad") {
				resp.Loaded = 1
				resp.Rejected = []*ironpostv1.BundleProblem{{File: "bad/a.yaml", Rule: "r1", Line: 7, Code: "unknown_operator", Reason: "unknown operator \"is\"" + hostile}}
			}
			return resp, nil
		},
		TestRules: func(_ context.Context, c RulesConfig) (*ironpostv1.RuleTestReport, error) {
			report := &ironpostv1.RuleTestReport{Files: 2, Examples: 5, Passed: 5, Untested: []string{"r2"}}
			if strings.Contains(c.Paths[0], "bad") {
				report.Passed = 4
				report.Failed = []*ironpostv1.RuleTestFailure{{
					File: "bad/examples/a.yaml", Line: 7, Rule: "r1", Example: "two failures", Code: "alerts_differ", Reason: "1 of 2 alerts came" + hostile,
					Wanted: []string{"alert of group \"a\"", "alert of group \"b\""}, Got: []string{"alert of group \"a\""}, Hint: "no line matches",
				}}
			}
			return report, nil
		},
		RulePaths: func(context.Context, Sources) ([]string, error) { return []string{"nosuch", "rules"}, nil },
		CoverRules: func(_ context.Context, c CoverageConfig) ([]*ironpostv1.RuleCoverage, error) {
			return covered(c), nil
		},
		ExplainRule: func(_ context.Context, c ExplainConfig) (*ironpostv1.RuleExplanation, error) {
			if c.Rule != "r1" {
				return nil, invalid("there is no rule %q", c.Rule)
			}
			return explained(c), nil
		},
		ListRules: func(context.Context, RulesConfig) ([]*ironpostv1.Rule, error) {
			return []*ironpostv1.Rule{{Id: "offline_rule", Severity: ironpostv1.Severity(event.SeverityLow)}}, nil
		},
		DescribePlugin: func(_ context.Context, c PluginFileConfig) (*ironpostv1.PluginDescription, error) {
			if strings.Contains(c.File, "bad") {
				return &ironpostv1.PluginDescription{
					Path: c.File, Sha256: strings.Repeat("cd", 32), Code: "IP120", Rule: "a plugin answers the host's handshake",
					Observed: "it printed " + hostile, Wanted: "the handshake", Mend: "rm bad",
				}, nil
			}
			return &ironpostv1.PluginDescription{Path: c.File, Sha256: strings.Repeat("ab", 32), Description: acme()}, nil
		},
		VerifyPlugins: func(_ context.Context, c VerifyConfig) ([]*ironpostv1.PluginVerdict, error) {
			out := []*ironpostv1.PluginVerdict{{Name: "parser-syslog", Path: "/p/parser-syslog", State: "trusted", Trust: "built-in", Sha256: strings.Repeat("ab", 32)}}
			if len(c.Names) > 0 {
				out = append(out, &ironpostv1.PluginVerdict{
					Name: "parser-acme", Path: "/p/parser-acme", State: "changed", Code: "IP130", Rule: "the pinned bytes",
					Observed: "SHA-256 1" + hostile, Wanted: "SHA-256 2", Mend: "ironpost plugin enable parser-acme",
				})
			}
			return out, nil
		},
		InstallPlugin: func(ctx context.Context, c InstallConfig) (*ironpostv1.PluginInstallation, error) {
			plan := &ironpostv1.PluginInstallation{
				Name: "parser-acme", Version: "1.2.3", Path: "/p/parser-acme", Sha256: strings.Repeat("ab", 32),
				Permissions: acme().Permissions, Added: []string{"read /var/log/acme"}, State: "enabled",
			}
			if err := c.Confirm(plan); err != nil {
				return nil, err
			}
			if c.Enable != nil {
				info, err := c.Enable(ctx, "parser-syslog", plan.Sha256)
				if err != nil {
					return nil, err
				}
				plan.State = info.GetStatus().GetState()
			}
			return plan, nil
		},
		ForgetPlugin: func(_ context.Context, c RemoveConfig) (*ironpostv1.RemovePluginResponse, error) {
			return &ironpostv1.RemovePluginResponse{Name: c.Name, Path: "/offline/" + c.Name}, nil
		},
		DeletePlugin: func(path string) error {
			if strings.Contains(path, "held") {
				return fmt.Errorf("remove %s: permission denied", path)
			}
			return nil
		},
		ValidateConfig: func(_ context.Context, s Sources) (ConfigReport, error) {
			r := ConfigReport{File: s.ConfigFile}
			if strings.Contains(s.ConfigFile, "bad") {
				r.Problems = []ConfigProblem{{Origin: s.ConfigFile + ":3", File: s.ConfigFile, Line: 3, Key: "general.mode", Problem: "not a mode", Allowed: "detect, simulate, enforce"}}
			}
			return r, nil
		},
		ShowConfig: func(context.Context, Sources) ([]*ironpostv1.ConfigValue, error) {
			return []*ironpostv1.ConfigValue{{Key: "general.mode", Value: "detect", Origin: "env IRONPOST_GENERAL_MODE"}}, nil
		},
	}
}
