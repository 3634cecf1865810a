package config

import (
	"path/filepath"
	"strconv"
	"strings"
)

// systemPlugins is where packages install plugins.
const systemPlugins = "/usr/lib/ironpost/plugins"

// Paths are the places that depend on who runs the host. An empty one leaves
// the default of HostSections.
type Paths struct {
	// File is the configuration file that is read when none is named.
	File string
	// DataDir and Socket are the defaults of general.data_dir and
	// control.socket.
	DataDir, Socket string
	// PluginDirs is the default of plugins.dirs.
	PluginDirs []string
}

// StandardPaths returns the places for a host whose effective user is uid, with
// that environment, and whose executable lies at executable ("" when it is not
// known): the system's directories for root, else the user's XDG directories.
func StandardPaths(uid int, executable string, environ []string) Paths {
	p := Paths{
		File: "/etc/ironpost/ironpost.toml", DataDir: "/var/lib/ironpost",
		Socket: "/run/ironpost/ironpost.sock", PluginDirs: []string{systemPlugins},
	}
	if executable != "" {
		p.PluginDirs = []string{filepath.Join(filepath.Dir(executable), "plugins"), systemPlugins}
	}
	if uid == 0 {
		return p
	}
	lookup := lookupIn(environ)
	// Others can write to /tmp: whoever makes the directory checks its owner.
	private := filepath.Join("/tmp", "ironpost-"+strconv.Itoa(uid))
	home, _ := lookup("HOME")
	if !filepath.IsAbs(home) {
		home = private
	}
	dir := func(variable, fallback string) string {
		// The XDG base directory specification: a relative path is invalid
		// and to be ignored.
		if v, ok := lookup(variable); ok && filepath.IsAbs(v) {
			return v
		}
		return fallback
	}
	p.File = filepath.Join(dir("XDG_CONFIG_HOME", filepath.Join(home, ".config")), "ironpost", "ironpost.toml")
	p.DataDir = filepath.Join(dir("XDG_DATA_HOME", filepath.Join(home, ".local", "share")), "ironpost")
	p.Socket = filepath.Join(dir("XDG_RUNTIME_DIR", private), "ironpost", "ironpost.sock")
	return p
}

// apply replaces the defaults of the host's sections.
func (p Paths) apply(sc *schema, c *collector) {
	for key, v := range map[string]any{
		"general.data_dir": p.DataDir, "control.socket": p.Socket, "plugins.dirs": p.PluginDirs,
	} {
		if v == "" || key == "plugins.dirs" && len(p.PluginDirs) == 0 {
			continue
		}
		name, rest, _ := strings.Cut(key, ".")
		f := sc.byName[name].byPath[joinPath(name, rest)]
		def, bad := f.value(v)
		if bad != nil {
			c.add(f.problem(Origin{Kind: FromDefault}, bad))
			continue
		}
		f.def = def
	}
}
