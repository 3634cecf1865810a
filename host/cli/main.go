package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
)

// The exit statuses.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
)

// Main runs the command line and returns the exit status. It returns early, in
// good order, when ctx ends. args come without the name of the program.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return run(ctx, newApp(), args, stdin, stdout, stderr)
}

func run(ctx context.Context, app App, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{app: app, stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	root := c.root() //nolint:contextcheck // the verbs take ctx from their command, to which ExecuteContext gives it
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return c.report(root.ExecuteContext(ctx))
}

// cli is one run of the command line.
type cli struct {
	app            App
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time

	socket     string
	store      string // the sink that is asked
	configFile string
	output     string
	pluginDirs []string
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ironpost",
		Short: "Watches a Linux host and answers attacks on it",
		Long: `Ironpost watches a Linux host and answers attacks on it: it filters packets in
the kernel, reads logs, finds attacks by rules, and blocks those behind them.

"ironpost run" is the host. The other verbs talk to it through its control
socket, or work without it (doctor, setup, replay, parse, scan, rules, config validate).`,
		Example: `  ironpost doctor                     what this machine offers, and what is missing
  ironpost setup --write ironpost.toml
  sudo ironpost run --config ironpost.toml
  ironpost status
  ironpost alerts list --since 1h
  ironpost replay --format syslog --rules rules/ /var/log/auth.log`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.checkOutput() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	group(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%s", err) })
	flags := root.PersistentFlags()
	flags.StringVar(&c.socket, "socket", "", "control socket of the host (default: $"+control.SocketEnv+", the configuration, "+
		"/run/ironpost/ironpost.sock for root, else in $XDG_RUNTIME_DIR/ironpost)")
	flags.StringVar(&c.configFile, "config", "", "configuration file (default: ironpost.toml where the host looks for it)")
	flags.StringVarP(&c.output, "output", "o", "table", "form of the output: table or json")
	root.AddCommand(
		c.runCmd(), c.statusCmd(), c.topCmd(), c.doctorCmd(), c.setupCmd(), c.pluginCmd(), c.rulesCmd(), c.replayCmd(), c.parseCmd(),
		c.eventsCmd(), c.alertsCmd(), c.actionsCmd(), c.inventoryCmd(), c.blockCmd(), c.allowCmd(), c.modeCmd(), c.scanCmd(), c.vulndbCmd(), c.quarantineCmd(), c.guardCmd(), c.auditCmd(), c.ebpfCmd(), c.configCmd(),
		c.versionCmd(), c.completionCmd(),
	)
	root.SetHelpCommand(helpCmd(root))
	return root
}

// sources returns the flags that offline verbs share.
func (c *cli) sources() Sources { return Sources{ConfigFile: c.configFile, PluginDirs: c.pluginDirs} }

// pluginDirFlag gives --plugin-dir to verbs that start plugins themselves.
func (c *cli) pluginDirFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&c.pluginDirs, "plugin-dir", nil, "directory with plugins; may be repeated (replaces the configured ones)")
}

func (c *cli) checkOutput() error {
	if c.output != "table" && c.output != "json" {
		return usage(nil, "-o %s: there is no such form; allowed are table and json", c.output)
	}
	return nil
}

func (c *cli) json() bool { return c.output == "json" }

func helpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]...",
		Short: "Help about a verb",
		RunE: func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 && found.HasSubCommands() {
				return usage(root, "there is no verb %q", strings.Join(args, " "))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// group makes a command that is nothing without one of its verbs.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), cmd.UsageString())
			return usage(cmd, "%s needs a verb", cmd.CommandPath())
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usage(cmd, "%s has no verb %q; did you mean %q?", cmd.CommandPath(), args[0], near[0])
		}
		return usage(cmd, "%s has no verb %q", cmd.CommandPath(), args[0])
	}
	cmd.SuggestionsMinimumDistance = 2
}

// socketPath returns the socket to talk to: flag, environment, configuration
// file, default.
func (c *cli) socketPath() (string, error) {
	switch {
	case c.socket != "":
		return c.socket, nil
	case os.Getenv(control.SocketEnv) == "" && c.app.ControlSocket != nil:
		path, err := c.app.ControlSocket(c.sources())
		if err != nil || path != "" {
			return path, err
		}
	}
	return control.DefaultSocket(os.Geteuid(), os.Getenv), nil
}
