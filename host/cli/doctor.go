package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/cli/internal/doctor"
)

func (c *cli) doctorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this machine offers, what is missing, and how to mend it",
		Long: `Looks at the kernel (5.15 or newer), the privileges of the caller, the compiler of
BPF programs, where filters are pinned, which interfaces have native XDP and why
others have not, the sandbox (Landlock, seccomp), Docker, journald, clang and the
plugin directories. Needs no host and changes nothing; run it as the user that will
run the host.

  ok       it is there
  warn     Ironpost works with less
  missing  what needs it does not work`,
		Example: `  sudo ironpost doctor
  ironpost doctor -o json | jq '.[] | select(.status != "ok")'`,
		Args: between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			dirs := c.pluginDirs
			if len(dirs) == 0 {
				dirs = defaultPluginDirs()
			}
			checks := doctor.Run(doctor.Config{PluginDirs: dirs})
			if c.json() {
				return c.value(checks)
			}
			t := newTable("CHECK", "STATUS", "FOUND", "NEEDED FOR")
			for _, check := range checks {
				t.row(check.Name, string(check.Verdict), check.Found, check.Needed)
			}
			if err := c.write(t.bytes()); err != nil {
				return err
			}
			for _, check := range checks {
				if check.Mend == "" {
					continue
				}
				if err := c.line("%s (%s): %s", check.Name, check.Verdict, check.Mend); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.pluginDirFlag(cmd)
	return cmd
}

// defaultPluginDirs are "plugins" beside the binary and that of packages.
func defaultPluginDirs() []string {
	dirs := []string{"/usr/lib/ironpost/plugins"}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append([]string{filepath.Join(filepath.Dir(exe), "plugins")}, dirs...)
	}
	return dirs
}
