package extract_test

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagelockjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/rust/cargolock"
	scalibrfs "github.com/google/osv-scalibr/fs"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Our own readers find what those of osv-scalibr find in the files that its tests
// have, and fail where those fail.
func TestOwnReadersFindWhatTheLibraryFinds(t *testing.T) {
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	dir := strings.TrimSpace(string(module))
	if err != nil || dir == "" {
		t.Skip("the module's files are not here:", err)
	}
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make func(*config_go_proto.PluginConfig) (filesystem.Extractor, error)
		at   string
	}{
		"cargo-lock":   {cargolock.New, "extractor/filesystem/language/rust/cargolock/testdata"},
		"package-lock": {packagelockjson.New, "extractor/filesystem/language/javascript/packagelockjson/testdata"},
	} {
		t.Run(name, func(t *testing.T) {
			ours := readers[slices.IndexFunc(readers, func(r *extract.Reader) bool { return r.Name == name })]
			theirs, err := c.make(&config_go_proto.PluginConfig{})
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(dir, c.at)
			root, err := os.OpenRoot(at)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = root.Close() }()
			files := 0
			err = filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				files++
				rest, _ := filepath.Rel(at, path)
				compare(t, root, at, rest, ours, theirs)
				return nil
			})
			if err != nil || files < 5 {
				t.Errorf("%d files were compared: %v", files, err)
			}
		})
	}
}

func compare(t *testing.T, root *os.Root, at, path string, ours *extract.Reader, theirs filesystem.Extractor) {
	t.Helper()
	open := func() (*os.File, fs.FileInfo) {
		f, err := root.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return f, info
	}
	f, info := open()
	defer f.Close()
	found, err := ours.Read(context.Background(), extract.Input{Path: path, Info: info, Body: f, View: tree.NewView(root)})
	g, info := open()
	defer g.Close()
	expected, theirErr := theirs.Extract(context.Background(), &filesystem.ScanInput{FS: scalibrfs.DirFS(at), Path: path, Root: at, Info: info, Reader: g})
	if (err != nil) != (theirErr != nil) {
		t.Errorf("%s: error %v, the library's %v", path, err, theirErr)
		return
	}
	var have, want []string
	for _, p := range found {
		have = append(have, ofNPM(p.PURL))
	}
	for _, p := range expected.Packages {
		// It adds to a package of npm where that was got from.
		url, _, _ := strings.Cut(p.PURL().String(), "?source=")
		want = append(want, ofNPM(cmp.Or(url, p.Name)))
	}
	slices.Sort(have)
	slices.Sort(want)
	have, want = slices.Compact(have), slices.Compact(want)
	if !slices.Equal(have, want) {
		t.Errorf("%s: found\n  %s\nthe library finds\n  %s", path, strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}

// ofNPM has what comes from a repository be a package of npm: to the library it is
// none, to our reader it is, since an advisory about the name is about that as well.
func ofNPM(url string) string {
	if rest, ok := strings.CutPrefix(url, "pkg:git/"); ok {
		return "pkg:npm/" + strings.ReplaceAll(rest, "%2F", "/")
	}
	return url
}
