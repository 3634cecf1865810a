package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/v2"
)

// Config is a configuration that was read and checked. It never changes and may
// be used by many goroutines; what it returns is the caller's to keep.
type Config struct {
	schema   *schema
	k        *koanf.Koanf
	origins  map[string]Origin
	host     Host
	problems Problems
	unknown  []UnknownSection
	lookup   func(string) (string, bool)
}

// Format writes "configuration" for every verb: printed whole, the fields of a
// Config would show secrets, because package fmt calls no methods on them.
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "configuration") }

// Host returns the host's own configuration. Its lists and maps are shared and
// must not be changed.
func (c *Config) Host() Host { return c.host }

// Problems returns what is wrong and did not stop Load: warnings, and the
// problems of plugins' sections. On a reload, which is all or nothing, refuse
// the file when Problems().Errors() is not empty.
func (c *Config) Problems() Problems { return append(Problems(nil), c.problems...) }

// PluginProblems returns what keeps the plugin of that name from running, nil
// when nothing does.
func (c *Config) PluginProblems(plugin string) Problems { return c.problems.Of(plugin) }

// UnknownSections returns the sections of the file that nobody declared, in the
// order of the file.
func (c *Config) UnknownSections() []UnknownSection {
	return append([]UnknownSection(nil), c.unknown...)
}

// HasSection reports whether the file, the environment or a flag sets anything
// in the section.
func (c *Config) HasSection(name string) bool {
	s := c.schema.byName[name]
	if s == nil {
		return false
	}
	for _, f := range s.fields {
		if c.origins[f.path].Kind != FromDefault {
			return true
		}
	}
	return false
}

// Section returns the values of a section, complete with defaults, nested as in
// the file and in the Go types that their Type promises. Secrets are of type
// Secret and not resolved. It is nil when the section is unknown, unread or has
// a problem.
func (c *Config) Section(name string) map[string]any {
	s := c.schema.byName[name]
	if s == nil || s.Unread || c.sectionProblems(s) != nil {
		return nil
	}
	return c.k.Cut(name).Raw()
}

// sectionProblems are the owner's problems: one plugin has one section.
func (c *Config) sectionProblems(s *section) Problems { return c.problems.Of(s.Owner) }

// SectionJSON returns the section as the JSON object that its plugin is
// configured with: keys in order, durations as whole nanoseconds, sizes as
// whole bytes, secrets resolved. The bytes are secret then: hand them to the
// plugin and to nothing that prints. Errors are of type Problems or Problem,
// and name the key whose secret could not be read.
func (c *Config) SectionJSON(name string) ([]byte, error) {
	s := c.schema.byName[name]
	if s == nil || s.Unread {
		return nil, fmt.Errorf("section %s is not declared or not in use", printable(name))
	}
	if ps := c.sectionProblems(s); ps != nil {
		return nil, ps
	}
	values := c.k.Cut(name).Raw()
	for _, f := range s.fields {
		if !f.Secret {
			continue
		}
		secret, _ := c.k.Get(f.path).(Secret)
		v, err := secret.Resolve(c.lookup)
		if err != nil {
			return nil, Problem{Origin: c.origins[f.path], Key: f.fullKey(), Owner: s.Owner, Message: err.Error(), Err: err}
		}
		at := values
		for _, p := range f.parts[:len(f.parts)-1] {
			at, _ = at[p].(map[string]any)
		}
		at[f.parts[len(f.parts)-1]] = v
	}
	b, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode section %s: %w", name, err)
	}
	return b, nil
}

// Setting is one key with its value and where the value came from.
type Setting struct {
	// Key is the full key, as bus.credits.
	Key   string `json:"key"`
	Owner string `json:"owner"`
	// Value is a string, int64, bool, float64, []string or map[string]string;
	// durations, sizes and redacted secrets are strings.
	Value any `json:"value"`
	Origin
	Help string `json:"help,omitempty"`
	Live bool   `json:"live"`
}

// String gives "KEY = VALUE (ORIGIN)".
func (s Setting) String() string { return s.Key + " = " + s.Text() + " (" + s.Origin.String() + ")" }

// Text is the value as the environment would write it.
func (s Setting) Text() string { return text(s.Value) }

// Origins returns every key of every section that is read, the host's first,
// each with its value and its origin. Secrets are redacted.
func (c *Config) Origins() []Setting {
	var out []Setting
	for _, s := range c.schema.sections {
		for _, f := range s.fields {
			out = append(out, Setting{
				Key: f.fullKey(), Owner: s.Owner, Value: f.show(c.k.Get(f.path)),
				Origin: c.origins[f.path], Help: f.Help, Live: f.Live,
			})
		}
	}
	return out
}

// show returns the value as a Setting holds it.
func (f *field) show(v any) any {
	switch v := v.(type) {
	case Secret:
		return v.String()
	case time.Duration:
		return formatDuration(v)
	case int64:
		if f.Type == Size {
			return formatSize(v)
		}
	}
	return v
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []string:
		return strings.Join(v, ",")
	case map[string]string:
		pairs := make([]string, 0, len(v))
		for _, k := range sortedKeys(v) {
			pairs = append(pairs, k+"="+v[k])
		}
		return strings.Join(pairs, ",")
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
