package scan_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/documenttest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// The files that other scanners are tested with, of nearly every form that is read and
// damaged in many ways, come to documents as the published schemas want them.
func TestDocumentsOfPublicFiles(t *testing.T) {
	ask := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "go", args...).Output()
		if err != nil {
			t.Skipf("the modules' files are not here: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	for name, c := range map[string]struct {
		dir                string
		packages, problems int // that there are at least
	}{
		"osv-scalibr": {ask("list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr"), 300, 2},
		"syft":        {filepath.Join(ask("env", "GOMODCACHE"), filepath.FromSlash(documenttest.Syft)), 900, 20},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := os.OpenRoot(c.dir)
			if err != nil {
				t.Skipf("the files are not here: run .ci/schemas: %v", err)
			}
			defer func() { _ = root.Close() }()
			v, stats, err := scan.Dir(t.Context(), root, scan.Config{Readers: readers(t)})
			if err != nil {
				t.Fatal(err)
			}
			if stats.Packages < c.packages || stats.Problems < c.problems {
				t.Errorf("%+v: want %d packages at least, and %d problems of files that are damaged", stats, c.packages, c.problems)
			}
			documents(t, v.Packages(), v.Problems())
		})
	}
}
