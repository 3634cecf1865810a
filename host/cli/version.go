package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// build is what version prints.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Modified is true when the sources differed from the revision.
	Modified  bool   `json:"modified"`
	Go        string `json:"go"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	API       int    `json:"api"`
	OldestAPI int    `json:"oldest_api"`
}

// buildOf describes this binary. Its version is what the Go toolchain stamped: a
// tag, a pseudo-version, or "devel".
func buildOf() build {
	b := build{
		Version: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		API: ironpostv1.API, OldestAPI: ironpostv1.OldestAPI,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (c *cli) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "The version of this binary",
		Example: "  ironpost version\n  ironpost version -o json | jq -r .version",
		Args:    between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			b := buildOf()
			if c.json() {
				return c.value(b)
			}
			return c.line("ironpost %s (plugin api %d, %s, %s/%s)", b.Version, b.API, b.Go, b.OS, b.Arch)
		},
	}
}
