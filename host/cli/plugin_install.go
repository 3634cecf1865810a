package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// errNo ends what a person did not agree to.
var errNo = errors.New("nothing was changed: not agreed to")

func (c *cli) pluginInstallCmd() *cobra.Command {
	var config InstallConfig
	var yes bool
	cmd := &cobra.Command{
		Use:   "install FILE",
		Short: "Put a plugin into a plugin directory and enable it",
		Long: `Describes the file in the strictest sandbox, shows what it asks for, and after a
"yes" copies it into a plugin directory with the right owner and mode, pins its
SHA-256, grants what it asks for and starts it. The bytes that were described are
the ones that are pinned. A signature beside the file (FILE.minisig) goes with it.

The copy is made with your rights: write access to the plugin directory is needed.
Without a running host the pin counts from its next start. A name that is taken is
refused; --replace upgrades the plugin of that name, and shows what the new one
asks for beyond the old one. When the host does not take the plugin, what was
there before is put back.`,
		Example: `  sudo ironpost plugin install ./parser-acme
  sudo ironpost plugin install --replace --yes ./parser-acme
  sudo ironpost plugin install --dir /usr/lib/ironpost/plugins --no-enable ./parser-acme`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.InstallPlugin == nil {
				return notBuilt("install a plugin")
			}
			config.Sources, config.File, config.Stderr = c.sources(), args[0], c.stderr
			done, err := c.install(cmd.Context(), config, yes)
			if err != nil {
				return fmt.Errorf("plugin install %s: %w", args[0], err)
			}
			if c.json() {
				return c.message(done)
			}
			return c.line("%s %s: installed as %s, %s", done.GetName(), done.GetVersion(), done.GetPath(), strings.TrimSpace(done.GetState()+" "+done.GetCode()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.Dir, "dir", "", "plugin directory to install into (default: the first that exists)")
	flags.BoolVar(&config.Replace, "replace", false, "replace the plugin of that name")
	flags.BoolVar(&config.Force, "force", false, "with --replace: also one that was built with the host")
	flags.BoolVar(&config.NoEnable, "no-enable", false, "only put the file there")
	flags.BoolVarP(&yes, "yes", "y", false, "agree to what the plugin asks for")
	return cmd
}

// install goes through the running host where there is one.
func (c *cli) install(ctx context.Context, config InstallConfig, yes bool) (*ironpostv1.PluginInstallation, error) {
	trust, err := c.trust(ctx)
	if err != nil {
		return nil, err
	}
	config.Trust = trust
	config.Confirm = func(plan *ironpostv1.PluginInstallation) error {
		if !c.json() {
			if err := c.write(planText(plan, !config.NoEnable)); err != nil {
				return err
			}
		}
		if yes {
			return nil
		}
		if c.json() || !c.interactive() {
			return usage(nil, "somebody has to agree to what the plugin asks for; look at it with \"ironpost plugin describe\", and give --yes")
		}
		return c.agree("Install it?")
	}
	if trust == nil {
		return c.app.InstallPlugin(ctx, config)
	}
	config.Enable = func(ctx context.Context, name, digest string) (info *ironpostv1.PluginInfoResponse, err error) {
		err = c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
			info, err = h.EnablePlugin(ctx, &ironpostv1.PluginRequest{Name: name, Sha256: digest})
			return err
		})
		return info, err
	}
	return c.app.InstallPlugin(ctx, config)
}

func planText(plan *ironpostv1.PluginInstallation, enable bool) []byte {
	var b bytes.Buffer
	line := lines(&b)
	line("name", plan.GetName())
	line("version", plan.GetVersion())
	line("installs as", plan.GetPath())
	line("replaces", plan.GetReplaces())
	line("sha256", plan.GetSha256())
	line("signed by", plan.GetSignature())
	what := "asks for"
	if enable {
		what = "is granted"
	}
	permissions(line, what, plan.GetPermissions())
	for _, p := range plan.GetAdded() {
		line("NEW", p)
	}
	return b.Bytes()
}

func (c *cli) pluginRemoveCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "remove PLUGIN",
		Short: "Stop a plugin, forget its pin and its grant, and delete its file",
		Long: `Lets the plugin finish what it has received, stops it, deletes its pin and its
grant, and then its file and the file's signature. PLUGIN is its name, or the path
of its file. The file is deleted with your rights. What the plugin kept in a folder
of its own stays.

A plugin that was built with the host is refused: "ironpost plugin disable" stops
it for good. --force deletes its file, and disables it should the file come back.`,
		Example: `  sudo ironpost plugin remove parser-acme
  sudo ironpost plugin remove /usr/lib/ironpost/plugins/parser-acme.old`,
		Args:              between(1, 1, "PLUGIN"),
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.app.DeletePlugin == nil || c.app.ForgetPlugin == nil {
				return notBuilt("remove a plugin")
			}
			forgotten, err := c.forget(cmd.Context(), args[0], force)
			if err != nil {
				return fmt.Errorf("plugin remove %s: %w", args[0], err)
			}
			if path := forgotten.GetPath(); path != "" {
				if err := c.app.DeletePlugin(path); err != nil {
					return fmt.Errorf("plugin remove %s: it is stopped and forgotten, and its file is left: %w; run: sudo rm %s", args[0], err, path)
				}
			}
			if c.json() {
				return c.message(forgotten)
			}
			return c.line("%s: removed %s", forgotten.GetName(), forgotten.GetPath())
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also a plugin that was built with the host")
	return cmd
}

// forget has the running host, or else its state, forget a plugin.
func (c *cli) forget(ctx context.Context, name string, force bool) (forgotten *ironpostv1.RemovePluginResponse, err error) {
	err = c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		forgotten, err = h.RemovePlugin(ctx, &ironpostv1.PluginRequest{Name: name, Force: force})
		return err
	})
	if errors.Is(err, control.ErrNotRunning) {
		return c.app.ForgetPlugin(ctx, RemoveConfig{Sources: c.sources(), Name: name, Force: force, Stderr: c.stderr})
	}
	return forgotten, err
}

// interactive reports whether a person can be asked.
func (c *cli) interactive() bool {
	f, ok := c.stdin.(*os.File)
	return ok && terminal(f)
}

// agree asks on stderr, so that the question is seen where stdout is kept;
// everything but yes is no.
func (c *cli) agree(question string) error {
	fmt.Fprint(c.stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(c.stdin, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNo
}
