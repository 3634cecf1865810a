// Command scanner-sbom is the plugin that says what software is installed, what of it
// is known to be vulnerable, and writes both down as an SBOM. While the host runs it
// watches Docker and the machine, and raises alerts.
//
// # Where things are
//
// The command itself ties the packages below together: scanner.go is a scan on demand,
// ask.go that of an image or a container of the local Docker, watching.go what goes on
// while the host runs, rematch.go what new advisories change, and advisories.go the verbs of
// ironpost vulndb.
//
//	inventory           what all others talk about: packages and problems
//	tree, image, engine where files come from: a folder, an archive of an image, Docker
//	scan                walks them, gives files to readers, bounds what they cost
//	extract             the readers, with those of our own below it
//	rpmdb               the databases of rpm
//	nesting             how deep documents go, before a decoder is given them
//	recall, packed      what scans found, for the next one, and the form it is kept in
//	advisory, vulndb    what is known of vulnerabilities, and its store
//	version, match      the order of versions; which advisories are about which packages
//	symbol              which functions a program of Go has
//	vex                 statements about which flaws matter
//	document, report    SBOMs, what differs between two (document/delta), and the report
//	owner, running      who owns a file; which packages processes use
//	machine, watch      what this machine has now; what of it is told, and when
package main

import (
	"os"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/sdk"
)

func main() {
	cfg := defaults()
	os.Exit(sdk.Main(plugin(&scanner{cfg: &cfg})))
}

func plugin(s *scanner) sdk.Plugin {
	return sdk.Plugin{
		Name:    "scanner-sbom",
		Summary: "Finds installed packages and their known vulnerabilities, and writes SBOMs",
		Section: "sbom",
		Config:  s.cfg,
		Permissions: sdk.Permissions{
			Read:     []string{"config:paths", "config:host"},
			Write:    []string{"config:database_dir"},
			Docker:   engine.Calls(),
			Services: []string{"processes"},
		},
		Bundles: []sdk.Bundle{
			{Name: ignoreBundle, ConfigKey: "ignore", Suffixes: []string{".yaml", ".yml"}},
			{Name: vexBundle, ConfigKey: "vex", Suffixes: []string{".json"}},
		},
		Loader:  s,
		Setup:   s.setup,
		Health:  s.health,
		Scanner: s,
	}
}
