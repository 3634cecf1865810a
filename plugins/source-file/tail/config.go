package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Config is the section [source_file].
type Config struct {
	Paths        []string      `config:"paths" help:"log files to follow: absolute paths or globs"`
	Format       string        `config:"format" help:"format of the lines; empty: json for a file that begins with {, else syslog"`
	Start        string        `config:"start" oneof:"end,beginning" help:"where to begin in a file that exists when it is seen for the first time; a file that appears later is read from its beginning"`
	TimeZone     string        `config:"time_zone" help:"IANA name of the zone of stamps that carry none; empty: the host's"`
	PollInterval time.Duration `config:"poll_interval" min:"0s" max:"1m" help:"how often files are looked at besides the notifications of the kernel; 0: every second, more rarely up to every 10s while nothing changes, every 50ms where there are none"`
	MaxFiles     int           `config:"max_files" min:"1" max:"4096" help:"greatest number of files followed at a time"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config {
	return Config{
		Paths: []string{
			"/var/log/auth.log", "/var/log/syslog", "/var/log/messages", "/var/log/secure", "/var/log/kern.log",
		},
		Start:    "end",
		MaxFiles: 256,
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
	}
	switch {
	case c.Start != "end" && c.Start != "beginning":
		return fmt.Errorf("start: %q; write \"end\" or \"beginning\"", c.Start)
	case c.PollInterval < 0 || c.PollInterval > time.Minute:
		return fmt.Errorf("poll_interval: %s; write 0s to 1m", c.PollInterval)
	case c.MaxFiles < 1:
		return errors.New("max_files: write 1 or more")
	}
	return nil
}
