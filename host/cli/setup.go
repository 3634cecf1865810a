package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/cli/internal/setup"
)

// found by setup, as JSON.
type findings struct {
	Journal       bool             `json:"journal"`
	Files         []foundFile      `json:"files"`
	Docker        bool             `json:"docker"`
	Interfaces    []foundInterface `json:"interfaces"`
	Packages      []string         `json:"packages"`
	NotWatched    []string         `json:"not_watched"`
	Configuration string           `json:"configuration"`
	// Written is the file that was written, "" for none.
	Written string `json:"written"`
}

type foundFile struct {
	Path   string `json:"path"`
	What   string `json:"what"`
	Format string `json:"format"`
}

type foundInterface struct {
	Name      string   `json:"name"`
	Default   bool     `json:"default"`
	Addresses []string `json:"addresses"`
}

func (c *cli) setupCmd() *cobra.Command {
	var path string
	var force bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Find what can be watched here, and write a configuration",
		Long: `Looks for journald, log files, the audit log, web servers and databases, Docker and
network interfaces, and writes a configuration for what it finds: to stdout, or to
a file with --write. Says on stderr what is not watched. It starts nothing and
attaches to nothing; the configuration names no interface until you uncomment one.`,
		Example: `  ironpost setup
  sudo ironpost setup --write /etc/ironpost/ironpost.toml`,
		Args: between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			f, err := setup.Discover("/")
			if err != nil {
				return fmt.Errorf("setup: %w", err)
			}
			configuration := f.Configuration()
			if path != "" {
				if err := writeNew(path, configuration, force); err != nil {
					return fmt.Errorf("write %s: %w", path, err)
				}
			}
			if c.json() {
				return c.value(findingsOf(f, configuration, path))
			}
			return c.showSetup(f, configuration, path)
		},
	}
	cmd.Flags().StringVar(&path, "write", "", "write the configuration to this file")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if it exists")
	return cmd
}

// writeNew does not replace a file unless it is told to, and never leaves half
// of one behind.
func writeNew(path string, b []byte, force bool) error {
	if !force {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return invalid("it exists; replace it with --force, or choose another name")
		}
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return errors.Join(err, f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (c *cli) showSetup(f setup.Findings, configuration []byte, path string) error {
	if path == "" {
		if err := c.write(configuration); err != nil {
			return err
		}
	} else if err := c.line("written: %s; start the host with: ironpost run --config %s", path, path); err != nil {
		return err
	}
	for _, gap := range f.NotWatched {
		fmt.Fprintln(c.stderr, "not watched:", gap)
	}
	return nil
}

func findingsOf(f setup.Findings, configuration []byte, path string) findings {
	out := findings{
		Journal: f.Journal, Docker: f.Docker, NotWatched: append([]string{}, f.NotWatched...), Packages: append([]string{}, f.Packages...),
		Files: []foundFile{}, Interfaces: []foundInterface{}, Configuration: string(configuration), Written: path,
	}
	for _, log := range f.Files {
		out.Files = append(out.Files, foundFile{log.Path, log.What, log.Format})
	}
	for _, i := range f.Interfaces {
		i.Addresses = append([]string{}, i.Addresses...)
		out.Interfaces = append(out.Interfaces, foundInterface(i))
	}
	return out
}
