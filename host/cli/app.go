package cli

import (
	"context"
	"io"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// App is what the command line needs of the host without a running one. A
// function that is nil answers that this build cannot do it. Errors that wrap
// control.ErrInvalid exit with status 2, other errors with 1. The functions
// return when ctx ends.
type App struct {
	// Run is the host in the foreground, until ctx ends; a stop by ctx is nil.
	Run func(ctx context.Context, c RunConfig) error
	// Replay sends files through the pipeline in event time and writes the
	// alerts to c.Stdout, one JSON object a line.
	Replay func(ctx context.Context, c ReplayConfig) (ReplaySummary, error)
	// Parse writes one JSON object a record to c.Stdout, in order.
	Parse func(ctx context.Context, c ParseConfig) error
	// ValidateRules loads rules aside and names those that are rejected.
	ValidateRules func(ctx context.Context, c RulesConfig) (*ironpostv1.BundleResponse, error)
	// TestRules runs the examples of rules and of patterns.
	TestRules func(ctx context.Context, c RulesConfig) (*ironpostv1.RuleTestReport, error)
	// RulePaths returns the files and folders that a host reads rules from.
	RulePaths func(ctx context.Context, s Sources) ([]string, error)
	// CoverRules says which rules can fire, and why the others cannot.
	CoverRules func(ctx context.Context, c CoverageConfig) ([]*ironpostv1.RuleCoverage, error)
	// ExplainRule says what a rule makes of the records of a file.
	ExplainRule func(ctx context.Context, c ExplainConfig) (*ironpostv1.RuleExplanation, error)
	// ListRules returns the rules that a host would load; hits are 0.
	ListRules func(ctx context.Context, c RulesConfig) ([]*ironpostv1.Rule, error)
	// ValidateConfig checks the configuration strictly.
	ValidateConfig func(ctx context.Context, s Sources) (ConfigReport, error)
	// ShowConfig returns the configuration that a host would start with.
	ShowConfig func(ctx context.Context, s Sources) ([]*ironpostv1.ConfigValue, error)
	// DescribePlugin runs a file in the strictest sandbox and returns what it
	// says of itself.
	DescribePlugin func(ctx context.Context, c PluginFileConfig) (*ironpostv1.PluginDescription, error)
	// VerifyPlugins holds files to every rule again.
	VerifyPlugins func(ctx context.Context, c VerifyConfig) ([]*ironpostv1.PluginVerdict, error)
	// InstallPlugin copies a plugin into a plugin directory and enables it.
	InstallPlugin func(ctx context.Context, c InstallConfig) (*ironpostv1.PluginInstallation, error)
	// ForgetPlugin deletes the pin of a plugin of a host that does not run.
	ForgetPlugin func(ctx context.Context, c RemoveConfig) (*ironpostv1.RemovePluginResponse, error)
	// DeletePlugin deletes a plugin's file and its signature.
	DeletePlugin func(path string) error
	// Conform tests a plugin. What is wrong with the plugin is in the report.
	Conform func(ctx context.Context, c ConformConfig) (*suite.Report, error)
	// PinnedFilters describes the packet filters that are pinned, DetachPinned
	// takes them off, and DumpPinned shows what one holds. They need no host.
	PinnedFilters func(s Sources, names []string) (*ironpostv1.FiltersResponse, error)
	DetachPinned  func(s Sources, names []string) (*ironpostv1.FiltersResponse, error)
	DumpPinned    func(s Sources, r *ironpostv1.DumpFilterRequest) (*ironpostv1.DumpFilterResponse, error)
	// Evidence reads the evidence that was kept of containers.
	Evidence func(ctx context.Context, c EvidenceConfig) ([]*ironpostv1.Incident, error)
	// Scan has a scanner inspect a target, and writes its document to c.Stdout.
	Scan func(ctx context.Context, c ScanConfig) error
	// Advisories imports advisories for scanners, or describes those there are.
	Advisories func(ctx context.Context, c AdvisoriesConfig) error
	// UpdateAdvisories fetches what changed of scanners' advisories, and imports it.
	UpdateAdvisories func(ctx context.Context, c UpdateConfig) error
	// ExportAdvisories writes a scanner's database to out, as a bundle to be signed.
	ExportAdvisories func(ctx context.Context, s Sources, out, stderr io.Writer) error
	// AuditDir returns the directory of the audit log.
	AuditDir func(s Sources) (string, error)
	// ControlSocket returns the socket that a configuration file names, "" when
	// it names none. It is asked when neither a flag nor the environment says.
	ControlSocket func(s Sources) (string, error)
}

// Sources are the flags that say where configuration and plugins come from. What
// is empty was not given.
type Sources struct {
	ConfigFile string
	// PluginDirs replace the configured directories.
	PluginDirs []string
}

// ScanConfig is what scan was told.
type ScanConfig struct {
	Sources
	Target, Against string
	// Paths are those of the two that are files or folders.
	Paths    []string
	Document string
	// Epoch is SOURCE_DATE_EPOCH, the time that the document is to have; "" is now.
	Epoch string
	// Platform says which of an image's is meant, as OS/ARCH; "" is that of the machine.
	Platform string
	Stdout   io.Writer
	Stderr   io.Writer
	Progress func(text string)
}

// AdvisoriesConfig is what vulndb was told; without Import it asks what there is.
type AdvisoriesConfig struct {
	Sources
	Import   []string
	Stdout   io.Writer
	Stderr   io.Writer
	Progress func(text string)
}

// UpdateConfig is what vulndb update was told; without From and Ecosystems the
// scanner's configuration says.
type UpdateConfig struct {
	Sources
	From, Ecosystems      []string
	AllowOlder, AllowHTTP bool
	Stdout                io.Writer
	Stderr                io.Writer
	Progress              func(text string)
}

// RunConfig is what run was told.
type RunConfig struct {
	Sources
	DataDir string
	// Socket is the value of --socket.
	Socket         string
	Stdout, Stderr io.Writer
}

// ReplayConfig is what replay was told.
type ReplayConfig struct {
	Sources
	// Files are paths; "-" is Stdin.
	Files []string
	// Format is the name of a format, "" to detect it per file.
	Format string
	// Rules, when set, are the only rules.
	Rules []string
	// ReferenceTime dates stamps without a year; zero is now.
	ReferenceTime time.Time
	// TimeZone is the IANA name of the zone of stamps without one; "" is the host's.
	TimeZone       string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// ReplaySummary says what a replay came to.
type ReplaySummary struct {
	// Files were read; Left were passed over, or read as far as they go.
	Files, Left                             int
	Records, Parsed, Unparsed, Late, Alerts uint64
	// UnparsedReasons counts the unparsed records by the code of the reason.
	UnparsedReasons map[string]uint64
}

// ParseConfig is what parse was told.
type ParseConfig struct {
	Sources
	// File is a path; "-" is Stdin.
	File           string
	Format         string
	ReferenceTime  time.Time
	TimeZone       string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// RulesConfig is what a verb about rules was told.
type RulesConfig struct {
	Sources
	// Paths are files and directories; none are those of the configuration.
	Paths []string
}

// CoverageConfig is what rules coverage was told and asked the running host.
type CoverageConfig struct {
	Sources
	// Paths, when set, are where the rules are.
	Paths []string
	// Streams are those of the running host, nil when none runs; Formats come beside
	// them.
	Streams []*ironpostv1.StreamStatus
	Formats []string
	// Packets says that an interface is watched.
	Packets bool
}

// ExplainConfig is what rules explain was told.
type ExplainConfig struct {
	Sources
	// Rule is the id. Paths, when set, are where the rules are.
	Rule  string
	Paths []string
	// File has the records; "-" is Stdin. Stream is the name of the stream that they
	// are said to come from; "" is that of the file.
	File, Format, Stream string
	ReferenceTime        time.Time
	TimeZone             string
	// All wants every branch, Limit is of how many events.
	All    bool
	Limit  int
	Stdin  io.Reader
	Stderr io.Writer
}

// ConformConfig is what plugin test was told.
type ConformConfig struct {
	Sources
	// File is the plugin, Values are keys of its section as KEY=VALUE.
	File   string
	Values []string
	// What the plugin is driven with, by its kind; "" when it was not given.
	Lines, Events, Alerts, Feed string
	Targets                     []string
	Stateless                   bool
	// Done is told each result as it comes; it may be nil.
	Done func(suite.Result)
}

// ConfigReport is what a check of the configuration found.
type ConfigReport struct {
	// File is the file that was read, "" when there is none.
	File     string          `json:"file"`
	Problems []ConfigProblem `json:"problems"`
}

// ConfigProblem is one thing that is wrong with the configuration.
type ConfigProblem struct {
	// Origin is "FILE:LINE", "env NAME" or "flag NAME".
	Origin string `json:"origin"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Key    string `json:"key"`
	// Problem is what is wrong, Allowed what may stand there, Hint how to mend it.
	Problem string `json:"problem"`
	Allowed string `json:"allowed"`
	Hint    string `json:"hint"`
	// Warning is true for what a host would start with all the same.
	Warning bool `json:"warning"`
}

// PluginFileConfig names a file to be described.
type PluginFileConfig struct {
	Sources
	File   string
	Stderr io.Writer
}

// VerifyConfig says which plugins to verify.
type VerifyConfig struct {
	Sources
	// Trust is what the running host holds plugins to, nil when none runs.
	Trust *ironpostv1.PluginTrustResponse
	// Names are names or paths; none are all candidates.
	Names  []string
	Stderr io.Writer
}

// InstallConfig says what to install.
type InstallConfig struct {
	Sources
	Trust                    *ironpostv1.PluginTrustResponse
	File, Dir                string
	Replace, Force, NoEnable bool
	// Confirm is shown the plan before anything is changed.
	Confirm func(*ironpostv1.PluginInstallation) error
	// Enable asks the running host, nil when none runs.
	Enable func(ctx context.Context, name, digest string) (*ironpostv1.PluginInfoResponse, error)
	Stderr io.Writer
}

// RemoveConfig says what to remove.
type RemoveConfig struct {
	Sources
	Name   string
	Force  bool
	Stderr io.Writer
}
