package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"time"
)

// Bounds of the expressions in Config.Multiline.
const (
	maxMultiline  = 64
	maxExpression = 1 << 10 // bytes
)

// Config is the section [source_file].
type Config struct {
	Paths        []string      `config:"paths" help:"log files to follow: absolute paths or globs; a glob that ends with .gz or .zst reads compressed files, each once"`
	Format       string        `config:"format" help:"format of the lines; empty: json for a file that begins with {, auditd for the log of the audit system, else syslog, and the host looks at the lines"`
	Start        string        `config:"start" oneof:"end,beginning" help:"where to begin in a file that exists when it is seen for the first time; a file that appears later is read from its beginning"`
	TimeZone     string        `config:"time_zone" help:"IANA name of the zone of stamps that carry none; empty: the host's"`
	PollInterval time.Duration `config:"poll_interval" min:"0s" max:"1m" help:"how often files are looked at besides the notifications of the kernel; 0: every second, more rarely up to every 10s while nothing changes, every 50ms where there are none"`
	MaxFiles     int           `config:"max_files" min:"1" max:"4096" help:"greatest number of files followed at a time"`

	Multiline        map[string]string `config:"multiline" help:"regular expression (RE2) by absolute path or glob: a line that matches begins a record, the lines behind it that do not belong to it; of several globs the longest holds"`
	MultilineTimeout time.Duration     `config:"multiline_timeout" min:"10ms" max:"10m" help:"how long the last record of a file with multiline waits for more lines"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config {
	return Config{
		Paths: []string{
			"/var/log/auth.log", "/var/log/syslog", "/var/log/messages", "/var/log/secure", "/var/log/audit/audit.log",
		},
		Start:            "end",
		MaxFiles:         256,
		MultilineTimeout: time.Second,
	}
}

// Validate reports the first value that cannot be used, and what to write
// instead.
func (c *Config) Validate() error {
	for _, p := range c.Paths {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("paths: %q is relative; write the absolute path", p)
		}
		if _, err := filepath.Match(p, ""); err != nil {
			return fmt.Errorf("paths: %q: %w; [ and ] enclose a set of characters, \\ takes their meaning away", p, err)
		}
		if compressed(p) && !isPacked(p) {
			return fmt.Errorf("paths: %q: of compressed files only those of gzip (.gz) and zstd (.zst) are read; decompress these", p)
		}
	}
	if len(c.Multiline) > maxMultiline {
		return fmt.Errorf("multiline: %d expressions; at most %d are read", len(c.Multiline), maxMultiline)
	}
	for path, expression := range c.Multiline {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("multiline: %q is relative; write the absolute path", path)
		}
		if _, err := filepath.Match(path, ""); err != nil {
			return fmt.Errorf("multiline: %q: %w", path, err)
		}
		if expression == "" || len(expression) > maxExpression {
			return fmt.Errorf("multiline: %s: an expression of %d bytes; write 1 to %d", path, len(expression), maxExpression)
		}
		if _, err := regexp.Compile(expression); err != nil {
			return fmt.Errorf("multiline: %s: %w; look-around and back-references are not in RE2", path, err)
		}
	}
	switch {
	case c.Start != "end" && c.Start != "beginning":
		return fmt.Errorf("start: %q; write \"end\" or \"beginning\"", c.Start)
	case c.PollInterval < 0 || c.PollInterval > time.Minute:
		return fmt.Errorf("poll_interval: %s; write 0s to 1m", c.PollInterval)
	case c.MultilineTimeout < 10*time.Millisecond || c.MultilineTimeout > 10*time.Minute:
		return fmt.Errorf("multiline_timeout: %s; write 10ms to 10m", c.MultilineTimeout)
	case c.MaxFiles < 1:
		return errors.New("max_files: write 1 or more")
	}
	return nil
}

// bounds returns what the configuration says of records of several lines in
// path, nil when that is nothing. The configuration must be valid.
func (c *Config) bounds(path string) boundary {
	best := ""
	for pattern := range c.Multiline {
		if ok, _ := filepath.Match(filepath.Clean(pattern), path); ok &&
			(len(pattern) > len(best) || len(pattern) == len(best) && pattern < best) {
			best = pattern
		}
	}
	if best == "" {
		return nil
	}
	return expression{regexp.MustCompile(c.Multiline[best])}
}
