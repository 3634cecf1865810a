package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Mode is what the host does with the answers that enforcers decide on.
type Mode string

// The modes.
const (
	// Detect raises alerts and asks no enforcer.
	Detect Mode = "detect"
	// Simulate runs every check and records the plan without acting.
	Simulate Mode = "simulate"
	// Enforce acts.
	Enforce Mode = "enforce"
)

// Host is the host's own configuration.
type Host struct {
	General     General     `koanf:"general"`
	Plugins     Plugins     `koanf:"plugins"`
	Bus         Bus         `koanf:"bus"`
	LogPipeline LogPipeline `koanf:"log_pipeline"`
	EBPF        EBPF        `koanf:"ebpf"`
	Respond     Respond     `koanf:"respond"`
	Guard       Guard       `koanf:"guard"`
	Fleet       Fleet       `koanf:"fleet"`
	Audit       Audit       `koanf:"audit"`
	Metrics     Metrics     `koanf:"metrics"`
	Control     Control     `koanf:"control"`
}

// General is the section [general].
type General struct {
	DataDir   string `koanf:"data_dir"`
	LogLevel  string `koanf:"log_level"`
	LogFormat string `koanf:"log_format"`
	Mode      Mode   `koanf:"mode"`
}

// Plugins is the section [plugins].
type Plugins struct {
	Dirs    []string `koanf:"dirs"`
	Enabled []string `koanf:"enabled"`
	// EnabledSet is true when anything sets enabled, also to an empty list:
	// then it names all plugins that run without being enabled by hand.
	EnabledSet bool     `koanf:"-"`
	Disabled   []string `koanf:"disabled"`
	// TrustedKeys are minisign public keys; when there are any, plugins that
	// were not built with the host have to be signed by one of them.
	TrustedKeys     []string      `koanf:"trusted_keys"`
	StartTimeout    time.Duration `koanf:"start_timeout"`
	DescribeTimeout time.Duration `koanf:"describe_timeout"`
	DrainTimeout    time.Duration `koanf:"drain_timeout"`
	AnswerTimeout   time.Duration `koanf:"answer_timeout"`
	Procs           int           `koanf:"procs"`
	StateBytes      int64         `koanf:"state_bytes"`
	MemoryBytes     int64         `koanf:"memory_bytes"`
	DockerSocket    string        `koanf:"docker_socket"`
}

// DefaultMemoryBytes is the default of plugins.memory_bytes.
const DefaultMemoryBytes = 1 << 30

// Bus is the section [bus].
type Bus struct {
	BatchEvents        int           `koanf:"batch_events"`
	BatchBytes         int64         `koanf:"batch_bytes"`
	Credits            int           `koanf:"credits"`
	RetainedBytes      int64         `koanf:"retained_bytes"`
	CheckpointInterval time.Duration `koanf:"checkpoint_interval"`
}

// LogPipeline is the section [log_pipeline].
type LogPipeline struct {
	// Routes leads from the name of a source or stream to that of a parser.
	Routes        map[string]string `koanf:"routes"`
	BatchSize     int               `koanf:"batch_size"`
	FlushInterval time.Duration     `koanf:"flush_interval"`
}

// EBPF is the section [ebpf]. Without an interface nothing is attached.
type EBPF struct {
	Enabled       bool           `koanf:"enabled"`
	Interfaces    []string       `koanf:"interface"`
	Mode          string         `koanf:"mode"`
	FlushInterval time.Duration  `koanf:"flush_interval"`
	Allow         []netip.Prefix `koanf:"allow"`
	MaxEntries    int            `koanf:"max_entries"`
	// PinDir is where the filter is pinned in a bpffs; "" pins nothing.
	PinDir string `koanf:"pin_dir"`
}

// Respond is the section [respond].
type Respond struct {
	Allow              []netip.Prefix `koanf:"allow"`
	TrustedProxies     []netip.Prefix `koanf:"trusted_proxies"`
	MaxBlocksPerMinute int            `koanf:"max_blocks_per_minute"`
	MaxTTL             time.Duration  `koanf:"max_ttl"`
	BlockForgeable     bool           `koanf:"block_forgeable"`
}

// Guard is the section [guard]: the limits of answers that enforcers carry out
// themselves, on containers.
type Guard struct {
	MaxPerMinute int           `koanf:"max_per_minute"`
	MaxAtOnce    int           `koanf:"max_at_once"`
	MaxShare     int           `koanf:"max_share"` // percent
	MaxAlike     int           `koanf:"max_alike"`
	MaxTTL       time.Duration `koanf:"max_ttl"`
	Approve      []string      `koanf:"approve"`
	TwoApprovals bool          `koanf:"two_approvals"`
	ApprovalTTL  time.Duration `koanf:"approval_ttl"`
}

// Fleet is the section [fleet]: what hosts that reach the same state engine do together.
type Fleet struct {
	// Timeout is how long the engine may take for one call of a detector.
	Timeout time.Duration `koanf:"timeout"`
	// Share and Take are kinds of decisions: block, limit, allow.
	Share []string `koanf:"share"`
	Take  []string `koanf:"take"`
}

// Audit is the section [audit]: the log of changes and actions.
type Audit struct {
	KeepBytes    int64         `koanf:"keep_bytes"`
	HeadInterval time.Duration `koanf:"head_interval"`
}

// Metrics is the section [metrics].
type Metrics struct {
	// Listen is host:port; "" is off.
	Listen string `koanf:"listen"`
}

// Control is the section [control].
type Control struct {
	Socket string `koanf:"socket"`
	Group  string `koanf:"group"`
}

// HostSections declares the host's own sections with the defaults of a host
// that runs as root; Options.Paths replaces those that are paths.
func HostSections() []Section {
	return []Section{
		{Name: "general", Owner: HostOwner, Fields: []Field{
			{Key: "data_dir", Type: String, Format: Path, Min: "1", Default: "/var/lib/ironpost", Help: "Where the state database, the journals and the copies of plugins are kept."},
			{Key: "log_level", Type: String, Enum: []string{"trace", "debug", "info", "warn", "error"}, Default: "info", Live: true, Help: "The least severe message of the host's log."},
			{Key: "log_format", Type: String, Enum: []string{"text", "json"}, Default: "text", Help: "The form of the host's log on stderr."},
			{Key: "mode", Type: String, Enum: []string{string(Detect), string(Simulate), string(Enforce)}, Default: string(Simulate), Live: true, Help: "detect raises alerts; simulate also records what would be done; enforce does it."},
		}},
		{Name: "plugins", Owner: HostOwner, Fields: []Field{
			{Key: "dirs", Type: Strings, Format: Path, Max: "32", Default: "/usr/lib/ironpost/plugins", Help: "Directories whose executables are candidates."},
			{Key: "enabled", Type: Strings, Max: "256", Live: true, Help: "When set, of the plugins built with the host only these are enabled."},
			{Key: "disabled", Type: Strings, Max: "256", Live: true, Help: "Plugins that never run, whatever was enabled on the command line."},
			{Key: "trusted_keys", Type: Strings, Format: PublicKey, Max: "64", Live: true, Help: "When set, plugins not built with the host have to be signed by one of these minisign keys."},
			{Key: "start_timeout", Type: Duration, Min: "1s", Max: "60s", Default: "10s", Help: "How long a plugin may take from its start to being configured."},
			{Key: "describe_timeout", Type: Duration, Min: "1s", Max: "60s", Default: "5s", Help: "How long a candidate may take to describe itself."},
			{Key: "drain_timeout", Type: Duration, Min: "100ms", Max: "5m", Default: "10s", Help: "How long a plugin may finish its work before it is killed."},
			{Key: "answer_timeout", Type: Duration, Min: "1s", Max: "1h", Default: "30s", Help: "How long a plugin may take to acknowledge what it was sent before it is killed and started again."},
			{Key: "procs", Type: Int, Min: "1", Max: "256", Default: "1", Help: "Processors that the Go scheduler of one plugin uses (GOMAXPROCS)."},
			{Key: "state_bytes", Type: Size, Min: "1MiB", Max: "4GiB", Default: "64MiB", Help: "State that the host keeps for one plugin."},
			{Key: "memory_bytes", Type: Size, Min: "64MiB", Max: "1TiB", Default: "1GiB", Help: "Memory that one plugin may use."},
			{Key: "docker_socket", Type: String, Format: Path, Min: "1", Default: "/var/run/docker.sock", Help: "Docker's socket; a plugin reaches the calls that it was granted through the host."},
		}},
		{Name: "bus", Owner: HostOwner, Fields: []Field{
			{Key: "batch_events", Type: Int, Min: "1", Max: "65536", Default: "1024", Help: "Packet summaries, alerts or actions in one batch at the most."},
			{Key: "batch_bytes", Type: Size, Min: "4KiB", Max: "1MiB", Default: "256KiB", Help: "Bytes after which a batch of records is sent."},
			{Key: "credits", Type: Int, Min: "1", Max: "64", Default: "16", Help: "Batches in flight to one plugin."},
			{Key: "retained_bytes", Type: Size, Min: "1MiB", Max: "64GiB", Default: "64MiB", Help: "Bytes kept for one plugin until it calls them durable; then its sources wait."},
			{Key: "checkpoint_interval", Type: Duration, Min: "10ms", Max: "10s", Default: "100ms", Help: "How often source checkpoints and plugin state are committed together."},
		}},
		{Name: "log_pipeline", Owner: HostOwner, Fields: []Field{
			{Key: "routes", Type: Map, Live: true, Help: "Parser by source; a source that is not named has its format detected."},
			{Key: "batch_size", Type: Int, Min: "1", Max: "65536", Default: "2048", Help: "Records after which a batch goes to a parser."},
			{Key: "flush_interval", Type: Duration, Min: "100us", Max: "1s", Default: "2ms", Help: "Time after which a batch goes to a parser that is not full."},
		}},
		{Name: "ebpf", Owner: HostOwner, Fields: []Field{
			{Key: "enabled", Type: Bool, Default: "true", Help: "False leaves every interface alone, also a named one."},
			{Key: "interface", Type: Strings, Format: Interface, Max: "64", Help: "Interfaces to watch. None is touched until one is named."},
			{Key: "mode", Type: String, Enum: []string{"auto", "native", "generic"}, Default: "auto", Help: "How XDP is attached; auto is native with a reported fall-back to generic."},
			{Key: "flush_interval", Type: Duration, Min: "10ms", Max: "10s", Default: "100ms", Help: "How often packet summaries leave the kernel."},
			{Key: "allow", Type: Strings, Format: CIDR, Max: "65536", Live: true, Help: "Addresses and networks that XDP always passes."},
			{Key: "max_entries", Type: Int, Min: "1024", Max: "4194304", Default: "1048576", Help: "Size of the block list in the kernel."},
			{Key: "pin_dir", Type: String, Max: "255", Default: "/sys/fs/bpf/ironpost", Help: "A directory in a bpffs that keeps the filter, so that it goes on while the host is away; empty ends it with the host."},
		}},
		{Name: "respond", Owner: HostOwner, Fields: []Field{
			{Key: "allow", Type: Strings, Format: CIDR, Max: "65536", Live: true, Help: "Addresses and networks that are never blocked."},
			{Key: "trusted_proxies", Type: Strings, Format: CIDR, Max: "4096", Live: true, Help: "Proxies that are never blocked; the address behind one is taken from the log."},
			{Key: "max_blocks_per_minute", Type: Int, Min: "1", Max: "100000", Default: "30", Live: true, Help: "Blocks a minute past which the breaker opens."},
			{Key: "max_ttl", Type: Duration, Min: "1s", Max: "365d", Default: "24h", Live: true, Help: "The longest that a block lasts."},
			{Key: "block_forgeable", Type: Bool, Default: "false", Live: true, Help: "True lets packets whose sender may be forged lead to blocks."},
		}},
		{Name: "guard", Owner: HostOwner, Fields: []Field{
			{Key: "max_per_minute", Type: Int, Min: "1", Max: "10000", Default: "12", Live: true, Help: "Answers on containers a minute past which the breaker opens."},
			{Key: "max_at_once", Type: Int, Min: "1", Max: "1024", Default: "10", Live: true, Help: "Containers that may be under an answer at once."},
			{Key: "max_share", Type: Int, Min: "1", Max: "100", Default: "50", Live: true, Help: "The same as a share of the containers that run, in percent; one may always be."},
			{Key: "max_alike", Type: Int, Min: "1", Max: "1024", Default: "5", Live: true, Help: "Containers of one image, or one compose project, that may be under an answer at once."},
			{Key: "max_ttl", Type: Duration, Min: "1s", Max: "365d", Default: "24h", Live: true, Help: "The longest that an answer on a container lasts."},
			{Key: "approve", Type: Strings, Enum: []string{"net-isolate", "pause", "stop", "kill"}, Max: "4", Live: true, Help: "Actions that an operator has to agree to: ironpost guard approve."},
			{Key: "two_approvals", Type: Bool, Default: "false", Live: true, Help: "True has stop and kill wait for two different users."},
			{Key: "approval_ttl", Type: Duration, Min: "10s", Max: "24h", Default: "15m", Live: true, Help: "How long an answer waits for approval."},
		}},
		{Name: "fleet", Owner: HostOwner, Fields: []Field{
			{Key: "timeout", Type: Duration, Min: "1ms", Max: "1s", Default: "20ms", Live: true, Help: "How long the state engine may take to count for a detector; past it this host counts alone, and what it counted is brought together later."},
			{Key: "share", Type: Strings, Enum: []string{"block", "limit", "allow"}, Max: "3", Default: "block,limit,allow", Live: true, Help: "Decisions of this host that other hosts are told of."},
			{Key: "take", Type: Strings, Enum: []string{"block", "limit", "allow"}, Max: "3", Default: "block,limit,allow", Live: true, Help: "Decisions of other hosts that this host takes over."},
		}},
		{Name: "audit", Owner: HostOwner, Fields: []Field{
			{Key: "keep_bytes", Type: Size, Min: "8MiB", Max: "1TiB", Default: "256MiB", Help: "Size past which the oldest files of the audit log are removed."},
			{Key: "head_interval", Type: Duration, Min: "1s", Max: "24h", Default: "5m", Help: "How often the number and hash of the last audit record go to the sinks, when there are new ones."},
		}},
		{Name: "metrics", Owner: HostOwner, Fields: []Field{
			{Key: "listen", Type: String, Format: HostPort, Help: "Address for Prometheus, as 127.0.0.1:9090; empty is off."},
		}},
		{Name: "control", Owner: HostOwner, Fields: []Field{
			{Key: "socket", Type: String, Format: Path, Min: "1", Default: "/run/ironpost/ironpost.sock", Help: "The Unix socket that the command line talks to."},
			{Key: "group", Type: String, Max: "32", Default: "ironpost", Help: "The group that may change things through the socket; empty is root and the host's user alone."},
		}},
	}
}

// maxSocketPath is the longest path of a Unix socket: sun_path is 108 bytes
// with its closing zero, unix(7).
const maxSocketPath = 107

// Validate checks what no single key can tell. The problems carry keys and no
// origin; Load adds that.
func (h Host) Validate() Problems {
	var out Problems
	bad := func(key, message, allowed string) {
		out = append(out, Problem{Origin: Origin{Kind: FromDefault}, Key: key, Owner: HostOwner, Message: message, Allowed: allowed})
	}
	if n := len(h.Control.Socket); n > maxSocketPath {
		bad("control.socket", fmt.Sprintf("the path is %d bytes long", n), fmt.Sprintf("at most %d bytes, which is what the kernel takes", maxSocketPath))
	}
	if dir := h.EBPF.PinDir; dir != "" && (!strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, "\x00\n")) {
		bad("ebpf.pin_dir", strconv.Quote(dir)+" is not an absolute path", "the path of a directory in a bpffs, or empty to pin nothing")
	}
	if need := h.Bus.BatchBytes * int64(h.Bus.Credits); h.Bus.RetainedBytes < need {
		bad("bus.retained_bytes", formatSize(h.Bus.RetainedBytes)+" is less than batch_bytes times credits",
			"at least "+formatSize(need)+", so that all batches in flight can be kept")
	}
	return out
}
