package host

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/state"
)

// Sources say where configuration and plugins come from; what is empty was not
// given.
type Sources struct {
	ConfigFile string
	PluginDirs []string
}

// executable is the path of the host's own binary, "" when it is not known.
func executable() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		return real
	}
	return exe
}

// options returns how to load the configuration for these sources and flags.
func (s Sources) options(flags ...config.Flag) config.Options {
	paths := config.StandardPaths(os.Geteuid(), executable(), os.Environ())
	o := config.Options{
		File: s.ConfigFile, Env: os.Environ(), Paths: paths,
		ReservedEnv: []string{"IRONPOST_CONTROL_SOCKET", "IRONPOST_PLUGIN", "IRONPOST_PARENT_FD", "IRONPOST_TEST_DATA", "IRONPOST_TEST_BUILD"},
	}
	if o.File == "" {
		o.File, o.Optional = paths.File, true
	}
	for _, f := range flags {
		if f.Value != "" {
			o.Flags = append(o.Flags, f)
		}
	}
	if len(s.PluginDirs) > 0 {
		o.Flags = append(o.Flags, config.Flag{Name: "--plugin-dir", Key: "plugins.dirs", Value: s.PluginDirs})
	}
	return o
}

// bundleDirs are the places where relative paths of bundles are looked for.
func bundleDirs(configFile string) []string {
	var dirs []string
	if configFile != "" {
		dirs = append(dirs, filepath.Dir(configFile))
	}
	if exe := executable(); exe != "" {
		// Beside the binary, in the tree it was built in, and where packages
		// install it.
		dirs = append(dirs, filepath.Dir(exe), filepath.Dir(filepath.Dir(exe)))
	}
	return append(dirs, "/etc/ironpost", "/usr/share/ironpost")
}

// Version is the version that the binary was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.0.0-dev"
	}
	return info.Main.Version
}

// maxSocketDir is the longest directory below which plugins' sockets fit: a
// Unix socket's path has 107 bytes, and go-plugin adds two names.
const maxSocketDir = 60

// runDir makes the directory of the plugins' sockets; remove deletes it.
func runDir(socket string) (dir string, remove func(), err error) {
	// Everything in it goes at the next start: the name must be nobody else's, as
	// "plugins" is of who keeps socket and plugins in one folder.
	dir = filepath.Join(filepath.Dir(socket), ".plugin-sockets")
	remove = func() { _ = os.RemoveAll(dir) } // swept at the next start
	if len(dir) > maxSocketDir || !searchable(filepath.Dir(dir)) {
		if dir, err = os.MkdirTemp("", "ironpost-"); err != nil {
			return "", nil, fmt.Errorf("make a directory for the plugins' sockets: %w", err)
		}
	} else {
		remove()
		if err := state.MakeDir(dir, 0o711); err != nil {
			return "", nil, err
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // plugins' users search it, nobody lists it
		return "", nil, fmt.Errorf("open the plugins' socket directory: %w", err)
	}
	return dir, remove, nil
}

// searchable reports whether other users can reach what lies in a directory, as
// the plugins' users must where the host is root.
func searchable(dir string) bool {
	if os.Geteuid() != 0 {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err == nil && info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// hostID returns the random name of this host, made at the first start.
func hostID(s *state.Store) (string, error) {
	t, err := state.NewTable[string](s, "host")
	if err != nil {
		return "", err
	}
	id, ok, err := t.Get("id")
	if err != nil || ok {
		return id, err
	}
	id = newID()
	return id, t.Put("id", id)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
