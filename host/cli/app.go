package cli

import (
	"context"
	"io"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
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
	// ListRules returns the rules that a host would load; hits are 0.
	ListRules func(ctx context.Context, c RulesConfig) ([]*ironpostv1.Rule, error)
	// ValidateConfig checks the configuration strictly.
	ValidateConfig func(ctx context.Context, s Sources) (ConfigReport, error)
	// ShowConfig returns the configuration that a host would start with.
	ShowConfig func(ctx context.Context, s Sources) ([]*ironpostv1.ConfigValue, error)
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
