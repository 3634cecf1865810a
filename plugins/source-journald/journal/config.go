package journal

import (
	"fmt"
	"strings"
)

// Command is the command that the host must run for this source.
const Command = "journalctl"

// Config is the section [source_journald].
type Config struct {
	Enabled bool     `config:"enabled" help:"read the journal"`
	Units   []string `config:"units" help:"units to read, such as ssh.service; empty: everything"`
	Start   string   `config:"start" oneof:"end,boot,beginning" help:"where to begin the first time: end (what comes from now on), boot (the current boot) or beginning (all that is kept)"`
	Since   string   `config:"since" help:"begin the first time at this moment, as journalctl --since takes it (\"-1h\"); it wins over start"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config { return Config{Enabled: true, Start: "end"} }

// Validate reports the first value that cannot be used, and what to write
// instead.
func (c *Config) Validate() error {
	switch c.Start {
	case "end", "boot", "beginning":
	default:
		return fmt.Errorf("start: %q; write \"end\", \"boot\" or \"beginning\"", c.Start)
	}
	for _, u := range c.Units {
		if u == "" || strings.ContainsAny(u, "\x00\n") {
			return fmt.Errorf("units: %q; write the name of a unit, such as \"ssh.service\"", u)
		}
	}
	if strings.ContainsAny(c.Since, "\x00\n") {
		return fmt.Errorf("since: %q; write a time as journalctl --since takes it", c.Since)
	}
	return nil
}

// follow returns the arguments that follow the journal behind cursor; without
// one from where the configuration begins.
func (c *Config) follow(cursor string) []string {
	args := []string{"--output=json", "--all", "--quiet", "--no-pager", "--follow"}
	switch {
	case cursor != "":
		args = append(args, "--no-tail", "--after-cursor="+cursor)
	case c.Since != "":
		args = append(args, "--no-tail", "--since="+c.Since)
	case c.Start == "boot":
		args = append(args, "--no-tail", "--boot")
	default:
		args = append(args, "--no-tail")
	}
	return append(args, c.units()...)
}

// startOver returns the arguments for when the cursor is of no use.
func (c *Config) startOver() []string {
	args := []string{"--output=json", "--all", "--quiet", "--no-pager", "--follow", "--no-tail", "--boot"}
	return append(args, c.units()...)
}

func (c *Config) units() []string {
	var args []string
	for _, u := range c.Units {
		args = append(args, "--unit="+u)
	}
	return args
}

// newest returns the arguments that print the last entry of all.
func newest() []string {
	return []string{"--output=json", "--quiet", "--no-pager", "--lines=1"}
}
