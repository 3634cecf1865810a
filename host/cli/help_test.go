package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryVerbTeaches wants a summary, an explanation and an example that
// begins with the verb itself.
func TestEveryVerbTeaches(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no summary", cmd.CommandPath())
		}
		if cmd.HasSubCommands() {
			for _, sub := range cmd.Commands() {
				walk(sub)
			}
			return
		}
		if cmd.Name() != "help" && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 100 {
				t.Errorf("%s: a line of the help has %d columns, at most 100 are wanted: %s", cmd.CommandPath(), n, line)
			}
		}
	}
	walk((&cli{}).root())
}

// TestVerbs holds the names that the documentation promises.
func TestVerbs(t *testing.T) {
	root := (&cli{}).root()
	for _, path := range []string{
		"run", "status", "doctor", "setup", "mode", "version", "replay", "parse",
		"plugin list", "plugin info", "plugin enable", "plugin disable", "plugin reload",
		"plugin install", "plugin remove", "plugin describe", "plugin verify",
		"rules list", "rules validate", "rules test", "rules explain", "rules coverage",
		"rules except add", "rules except list", "rules except edit", "rules except remove", "events tail", "events search", "alerts list", "alerts show", "alerts ack", "alerts close", "alerts export",
		"alerts silence add", "alerts silence list", "alerts silence remove", "actions list", "inventory list",
		"block add", "block remove", "block list", "block import", "block rule add", "block rule list", "block rule remove", "allow add", "allow remove", "allow list", "allow check",
		"guard plan", "guard isolate", "guard release", "guard approve", "guard history", "guard evidence", "guard disable", "guard enable",
		"scan", "vulndb import", "vulndb status", "audit verify",
		"quarantine list", "quarantine show", "quarantine replay", "quarantine drop",
		"ebpf status", "ebpf attach", "ebpf detach", "ebpf dump", "ebpf capture",
		"config show", "config validate", "config reload", "completion",
	} {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 || cmd.CommandPath() != "ironpost "+path {
			t.Errorf("%s: got %s, %v, %v", path, cmd.CommandPath(), rest, err)
		}
	}
}
