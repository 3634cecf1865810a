package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStandardPaths(t *testing.T) {
	tests := []struct {
		name       string
		uid        int
		executable string
		env        []string
		want       Paths
	}{
		{
			"root", 0, "/usr/bin/ironpost",
			[]string{"HOME=/root", "XDG_DATA_HOME=/x"},
			Paths{"/etc/ironpost/ironpost.toml", "/var/lib/ironpost", "/run/ironpost/ironpost.sock", []string{"/usr/bin/plugins", "/usr/lib/ironpost/plugins"}},
		},
		{
			"user", 1000, "",
			[]string{"HOME=/home/u", "XDG_RUNTIME_DIR=/run/user/1000"},
			Paths{"/home/u/.config/ironpost/ironpost.toml", "/home/u/.local/share/ironpost", "/run/user/1000/ironpost/ironpost.sock", []string{"/usr/lib/ironpost/plugins"}},
		},
		{
			"user with XDG directories, of which relative ones do not count", 1000, "",
			[]string{"HOME=/home/u", "XDG_CONFIG_HOME=/c", "XDG_DATA_HOME=d"},
			Paths{"/c/ironpost/ironpost.toml", "/home/u/.local/share/ironpost", "/tmp/ironpost-1000/ironpost/ironpost.sock", []string{"/usr/lib/ironpost/plugins"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, StandardPaths(tt.uid, tt.executable, tt.env)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("as defaults", func(t *testing.T) {
		c := mustLoad(t, Options{Strict: true, Paths: Paths{DataDir: "/d", Socket: "/s", PluginDirs: []string{"/a,b", "/c"}}})
		h := c.Host()
		if diff := cmp.Diff([]string{"/a,b", "/c"}, h.Plugins.Dirs); diff != "" || h.General.DataDir != "/d" || h.Control.Socket != "/s" {
			t.Errorf("got %v, %s, %s", h.Plugins.Dirs, h.General.DataDir, h.Control.Socket)
		}
		if got := setting(t, c, "general.data_dir").Origin.Kind; got != FromDefault {
			t.Errorf("origin: got %s, want default", got)
		}
	})
}
