package sdk

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"regexp"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/sdk/event"
)

// Plugin says what a plugin is. Name, Summary and at least one kind are needed.
type Plugin struct {
	// Name is unique on a host: lower-case letters, digits and hyphens, at most
	// 48, by custom with the kind in front ("parser-acme").
	Name string
	// Version is the plugin's own; "" is taken from the build information.
	Version string
	// Summary is one line for people.
	Summary string

	// Section names the section of ironpost.toml that belongs to this plugin;
	// "" means none. Config points to a struct whose exported fields, tagged
	// `config:"key" help:"..." min:".." max:".." oneof:"a,b" secret:"true"`,
	// declare the keys; its values at the time of Main are the defaults. The
	// field types are string, bool, integers, float64, time.Duration,
	// []string, map[string]string and Size. The SDK fills it in before Setup.
	Section string
	Config  any

	// Permissions are what the plugin needs beyond computing. It gets nothing
	// that is not listed here and granted by the operator.
	Permissions Permissions

	// Bundles are sets of files, such as rules, that the host reads, watches
	// and pushes. A plugin that names one implements BundleLoader on the value
	// in Loader.
	Bundles []Bundle
	Loader  BundleLoader

	// Fields are those that the Parser can give an event beside those of every one
	// (process, message, host, pid, severity); "*" among them stands for whatever
	// the records hold, "sd.*" for all that begin with "sd.". They tell people which rules can fire. Without them the
	// plugin does not say, which means the same as "*".
	Fields []string

	// Setup, when set, is called once after the configuration is in place and
	// before the first event. Its error refuses the start; the host shows it
	// and tries again later.
	Setup func(ctx context.Context, env Env) error
	// Health, when set, is asked every few seconds, concurrently with all
	// else. nil is healthy; an error means degraded and is shown to people.
	Health func(ctx context.Context) error

	// The kinds. Set at least one.
	Source   LogSource
	Parser   LogParser
	Detector Detector
	Enforcer PolicyEnforcer
	Scanner  Scanner
	Sink     Sink
	State    SharedState
}

// Permissions are what a plugin may do beyond computing. In Listen, Connect,
// Read, Write and Docker an entry "config:KEY" stands for the value or values of that
// key of the plugin's section.
type Permissions struct {
	// Listen names addresses that the host binds and passes on:
	// "udp://0.0.0.0:514", "tcp://127.0.0.1:6514".
	Listen []string
	// Connect names addresses that the plugin may reach: "tcp://db:5432".
	Connect []string
	// Read and Write name files, directories or globs.
	Read  []string
	Write []string
	// Commands names the commands that the host runs for the plugin
	// (Env.Command): "journalctl".
	Commands []string
	// Docker asks for calls of the Docker API: scopes, of "read", "settings",
	// "logs", "files", "isolate" and "stop", or "METHOD /path" with * for one
	// element of the path and ** for more. Env.Docker is where they are served. It cannot
	// be had together with Listen on internet addresses.
	Docker []string
	// BaseFiles lets an interpreted plugin read /usr, /lib and the like.
	BaseFiles bool
	// Processes lets the plugin start processes of its own.
	Processes bool
	// Services names services of the host: "processes" (Env.Processes), "shared"
	// (Env.Shared).
	Services []string
}

// Bundle declares a set of files that the host pushes to the plugin.
type Bundle struct {
	Name string
	// Paths are files or directories; relative ones lie beside the
	// configuration file or the host's binary.
	Paths []string
	// ConfigKey names the key of the section, of type []string, that holds the
	// paths instead.
	ConfigKey string
	// Suffixes restricts the files of a directory: ".yaml", ".yml".
	Suffixes []string
}

// BundleLoader receives bundles.
type BundleLoader interface {
	// LoadBundle puts the files of the named bundle into force in place of the
	// ones before, and reports every file or rule that it had to leave out.
	// With check set it only reports. The file system is in memory and stays
	// valid. It is called concurrently with events.
	LoadBundle(ctx context.Context, name string, files fs.FS, check bool) (BundleReport, error)
}

// BundleReport says what became of a bundle.
type BundleReport struct {
	Files, Rules, Loaded int
	// Skipped counts what was looked at and means to be no rule.
	Skipped  int
	Rejected []BundleProblem
}

// BundleProblem is one rule or file that was left out, and why.
type BundleProblem struct {
	File string
	Rule string
	// Line counts from 1; 0 means the whole file.
	Line int
	// Code is a stable word for programs; Reason is for people.
	Code, Reason string
}

// RuleLister is a Detector that can list its rules.
type RuleLister interface {
	ListRules(ctx context.Context) ([]RuleInfo, error)
}

// RuleInfo describes one rule in force.
type RuleInfo struct {
	ID, Title, File string
	Severity        event.Severity
	Status          string
	Tags            []string
	Hits            uint64
	// LastHit is in UTC nanoseconds, 0 for never.
	LastHit int64
	// LogSource says what the rule is for, as category/product/service with * for
	// any; "" for what looks at the finds of other rules.
	LogSource string
	// Alerts were raised since the detector started; Suppressed and RateLimited
	// were held back.
	Alerts, Suppressed, RateLimited uint64
	// CostNS estimates how long the rule's condition takes for an event, in ns, on
	// average over all events since the rules were loaded. 0 is not known.
	CostNS float64
	// Filters are the ids of those that are part of the condition, Rules those that
	// a correlation names.
	Filters, Rules []string
}

// Env is what the SDK gives to Setup.
type Env struct {
	// Logger writes into the host's log under the plugin's name.
	Logger hclog.Logger
	// HostID names this host in trace ids.
	HostID string
	// Mode is detect, simulate or enforce.
	Mode string
	// Listeners are the sockets that the host bound, by the address that the
	// permission names.
	Listeners map[string]Listener
	// Commands runs the commands that were granted.
	Commands Commands
	// Docker is the path of the Unix socket that serves the calls of the
	// permission Docker, for a client's WithHost("unix://"+path); "" without it.
	Docker string
	// Processes looks at the processes of the machine, which the plugin cannot
	// see itself, with the service "processes".
	Processes Processes
	// Targets tells the host what happened to targets of an Executor's intents.
	Targets Targets
	// Shared counts together with other hosts, with the service "shared".
	Shared Shared
	// Counter adds n to a counter of the plugin that operators see. It is safe
	// for concurrent use.
	Counter func(name string, n uint64)
}

// Listener is one passed socket; exactly one of its fields is set.
type Listener struct {
	Stream net.Listener
	Packet net.PacketConn
}

// Commands runs commands on the host.
type Commands interface {
	// Run starts a granted command. Its standard output is read from the
	// result, which ends with io.EOF, or with the reason why the command
	// failed. Close ends the command.
	Run(ctx context.Context, name string, args ...string) (Output, error)
}

// Output is the standard output of a command.
type Output interface {
	Read(p []byte) (int, error)
	Close() error
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,47}$`)

// Validate reports the first thing that keeps the plugin from being served.
func (p *Plugin) Validate() error {
	switch {
	case !validName.MatchString(p.Name):
		return fmt.Errorf("plugin name %q: want 2 to 48 lower-case letters, digits and hyphens, beginning with a letter", p.Name)
	case len(p.Kinds()) == 0:
		return fmt.Errorf("plugin %s: set at least one of Source, Parser, Detector, Enforcer, Scanner, Sink, State", p.Name)
	case len(p.Bundles) > 0 && p.Loader == nil:
		return fmt.Errorf("plugin %s: it declares bundles, and no Loader takes them", p.Name)
	case p.Config != nil && p.Section == "":
		return fmt.Errorf("plugin %s: it has a Config, and no Section names its place in ironpost.toml", p.Name)
	}
	return nil
}

// Kinds returns the kinds that the plugin is, in the order of the flow.
func (p *Plugin) Kinds() []string {
	var kinds []string
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"source", p.Source != nil},
		{"parser", p.Parser != nil},
		{"detector", p.Detector != nil},
		{"enforcer", p.Enforcer != nil},
		{"scanner", p.Scanner != nil},
		{"sink", p.Sink != nil},
		{"state", p.State != nil},
	} {
		if k.set {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}
