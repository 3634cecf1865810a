package cli

import "github.com/spf13/cobra"

func (c *cli) runCmd() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the host in the foreground",
		Long: `Runs the host in the foreground until it is interrupted.

It starts every enabled plugin, reads logs, watches the interfaces that the
configuration names (none is touched until one is named), raises alerts and
answers them. In the default mode, simulate, it records what it would do and does
nothing. SIGHUP reloads the configuration. SIGINT or SIGTERM stop it: sources
first, and what was accepted is finished.

Without root it cannot attach XDP and reads only the logs that the user may read.`,
		Example: `  sudo ironpost run --config /etc/ironpost/ironpost.toml
  sudo IRONPOST_EBPF_INTERFACE=eth0 ironpost run
  ironpost run --data-dir ./data --plugin-dir ./build/plugins --socket ./ironpost.sock`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.app.Run == nil {
				return notBuilt("run the host")
			}
			return c.app.Run(cmd.Context(), RunConfig{
				Sources: c.sources(), DataDir: dataDir, Socket: c.socket, Stdout: c.stdout, Stderr: c.stderr,
			})
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where the host keeps its state (default /var/lib/ironpost for root, else in the user's XDG data directory)")
	c.pluginDirFlag(cmd)
	return cmd
}
