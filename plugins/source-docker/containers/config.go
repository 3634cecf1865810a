package containers

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// Config is the section [source_docker].
type Config struct {
	Include       []string `config:"include" help:"containers to read, as globs of their names or images; empty: all"`
	Exclude       []string `config:"exclude" help:"containers not to read, as globs of their names or images; it wins over include"`
	Labels        []string `config:"labels" help:"labels that lines carry, as globs of their names; empty: none"`
	Start         string   `config:"start" oneof:"end,beginning" help:"where to begin in a container that runs when this plugin starts for the first time; one that starts later is read from its beginning"`
	Events        bool     `config:"events" help:"emit the engine's events, such as start, die and exec_create"`
	MaxContainers int      `config:"max_containers" min:"1" max:"240" help:"greatest number of containers followed at a time"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config {
	return Config{Labels: []string{"*"}, Start: "end", Events: true, MaxContainers: 200}
}

// Validate reports the first value that cannot be used, and what to write
// instead.
func (c *Config) Validate() error {
	for key, globs := range map[string][]string{"include": c.Include, "exclude": c.Exclude, "labels": c.Labels} {
		for _, g := range globs {
			if _, err := path.Match(g, ""); err != nil {
				return fmt.Errorf("%s: %q: %w; [ and ] enclose a set of characters, \\ takes their meaning away", key, g, err)
			}
		}
	}
	switch {
	case c.Start != "end" && c.Start != "beginning":
		return fmt.Errorf("start: %q; write \"end\" or \"beginning\"", c.Start)
	case c.MaxContainers < 1:
		return errors.New("max_containers: write 1 or more")
	}
	return nil
}

// wants reports whether a container is to be read.
func (c *Config) wants(about *container) bool {
	named := func(globs []string) bool { return matches(globs, about.name()) || matches(globs, about.Image) }
	return (len(c.Include) == 0 || named(c.Include)) && !named(c.Exclude)
}

// matches reports whether one of the globs matches text. Here * stands for
// slashes too, which names of images and labels hold.
func matches(globs []string, text string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, _ := path.Match(flat(g), flat(text))
		return ok
	})
}

// flat replaces slashes by a byte that no name holds.
func flat(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '/' {
			b[i] = 1
		}
	}
	return string(b)
}
