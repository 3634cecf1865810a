package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
	"github.com/ironpost/ironpost/sdk"
)

// config is the section [sbom].
type config struct {
	Paths       []string `config:"paths" help:"folders and files that may be scanned; ironpost scan has those that it is given in their place"`
	Skip        []string `config:"skip" help:"names of folders, or paths relative to the target, that are passed over"`
	Host        []string `config:"host" help:"folders of this machine whose packages are watched while the host runs, as /usr,/opt,/var/lib/dpkg,/var/lib/rpm,/lib/apk; empty watches none"`
	Containers  bool     `config:"containers" help:"watch the containers of the local Docker while the host runs"`
	Images      bool     `config:"images" help:"keep the inventory of its images too"`
	DatabaseDir string   `config:"database_dir" help:"where advisories are kept; data:scanner-sbom is the plugin's own below the host's data directory"`
	Remember    bool     `config:"remember" help:"keep what a scan of a folder or an image found in database_dir, and read only what changed the next time"`

	RememberBytes sdk.Size `config:"remember_bytes" min:"1048576" help:"bound of what is kept of Docker's images; what was used least recently goes"`

	Unowned bool `config:"unowned" help:"have ironpost scan list the programs of a root file system, an image or a container that no package has"`

	Rescan        time.Duration `config:"rescan" min:"1m" max:"168h" help:"how often everything that is watched is looked at again; what did not change is not read"`
	Observe       time.Duration `config:"observe" min:"1s" max:"1h" help:"how often it is looked at which packages processes use"`
	AlertSeverity string        `config:"alert_severity" oneof:"low,medium,high,critical" help:"the least severity of a vulnerability that raises an alert; all are kept as inventory"`

	Ignore     []string      `config:"ignore" help:"files and folders of rules in YAML that say which findings to ignore, why, and until when"`
	VEX        []string      `config:"vex" help:"files and folders of VEX documents (OpenVEX, CycloneDX, CSAF) that say which packages are not affected"`
	MaxAge     time.Duration `config:"max_age" min:"1h" max:"8760h" help:"how long after its import a source of advisories counts as current"`
	Mirror     []string      `config:"mirror" help:"what ironpost vulndb update fetches: URLs or paths of a signed bundle (.db), of a source (.zip, .json, ...), or of a mirror of OSV, which end with /"`
	Ecosystems []string      `config:"ecosystems" help:"which ecosystems are fetched from mirrors of OSV, as it writes them: npm, PyPI, Debian"`
	Keys       []string      `config:"keys" help:"public keys of minisign whose bundles of advisories are installed"`
	MaxQuiet   time.Duration `config:"max_quiet" min:"24h" max:"87600h" help:"how long after its newest advisory a source counts as current"`

	FileBytes  sdk.Size      `config:"file_bytes" min:"1024" help:"bound of a file that is read as a whole"`
	FileTime   time.Duration `config:"file_time" min:"100ms" max:"1h" help:"bound of the time that one file takes"`
	Files      int           `config:"files" min:"1" help:"bound of the files of a target"`
	Depth      int           `config:"depth" min:"1" max:"4096" help:"bound of folders in one another"`
	Packages   int           `config:"packages" min:"1" help:"bound of the packages of a target"`
	ImageBytes sdk.Size      `config:"image_bytes" min:"1048576" help:"bound of all layers of an image, as they are without compression"`
	Workers    int           `config:"workers" min:"0" max:"256" help:"files that are read at once; 0 is one for each processor"`
}

func defaults() config {
	l := scan.Defaults()
	return config{
		Skip: []string{".git"}, DatabaseDir: "data:scanner-sbom", Remember: true, Containers: true, Images: true,
		Rescan: 15 * time.Minute, Observe: 10 * time.Second, AlertSeverity: "medium",
		MaxAge: 7 * 24 * time.Hour, MaxQuiet: 90 * 24 * time.Hour,
		FileBytes: sdk.Size(l.FileBytes), FileTime: l.FileTime, Files: int(l.Files), Depth: l.Depth, Packages: l.Packages,
		ImageBytes: sdk.Size(image.Defaults().Bytes), RememberBytes: sdk.Size(engine.DefaultBytes),
	}
}

// validate names the key that is wrong, of those that the SDK cannot check.
func (c *config) validate() error {
	if !filepath.IsAbs(c.DatabaseDir) {
		return fmt.Errorf("database_dir = %q: write the absolute path", c.DatabaseDir)
	}
	if _, err := vulndb.ParseKeys(c.Keys); err != nil {
		return fmt.Errorf("keys: %w: write the second line of minisign.pub", err)
	}
	for key, list := range map[string][]string{"paths": c.Paths, "host": c.Host} {
		for _, p := range list {
			if !filepath.IsAbs(p) {
				return fmt.Errorf("%s: %q: write the absolute path", key, p)
			}
		}
	}
	if slices.Contains(c.Host, "/") {
		return errors.New("host: no plugin is granted the root of this machine; name folders, as /usr and /var/lib/dpkg")
	}
	return nil
}

// match is how old advisories may be.
func (c *config) match() match.Options { return match.Options{MaxAge: c.MaxAge, MaxQuiet: c.MaxQuiet} }

// image bounds an image: its files are those of all layers.
func (c *config) image() image.Limits {
	return image.Limits{Bytes: int64(c.ImageBytes), Depth: c.Depth, Entries: min(c.Files, image.Defaults().Entries)}
}

func (c *config) limits() scan.Limits {
	return scan.Limits{FileBytes: int64(c.FileBytes), Files: int64(c.Files), Depth: c.Depth, Packages: c.Packages, FileTime: c.FileTime}
}
