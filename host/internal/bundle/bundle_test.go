package bundle

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/link"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func paths(b link.Bundle) []string {
	var out []string
	for _, f := range b.Files {
		out = append(out, f.Path)
	}
	return out
}

func TestLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules")
	write(t, filepath.Join(dir, "b.yaml"), "b")
	write(t, filepath.Join(dir, "a.yml"), "a")
	write(t, filepath.Join(dir, "deep", "c.yaml"), "c")
	write(t, filepath.Join(dir, "README.md"), "no")
	write(t, filepath.Join(dir, ".hidden.yaml"), "no")
	write(t, filepath.Join(dir, ".git", "d.yaml"), "no")
	single := filepath.Join(t.TempDir(), "one.yaml")
	write(t, single, "one")

	b, problems := Load("rules", []string{dir, single, filepath.Join(dir, "absent")}, []string{".yaml", ".yml"})
	if diff := cmp.Diff([]string{"one.yaml", "rules/a.yml", "rules/b.yaml", "rules/deep/c.yaml"}, paths(b)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(problems) != 1 || problems[0].Path != filepath.Join(dir, "absent") {
		t.Errorf("problems = %v, want the absent path alone", problems)
	}
	again, _ := Load("rules", []string{single, dir}, []string{".yaml", ".yml"})
	if b.Version != again.Version {
		t.Error("the version depends on the order of the paths")
	}
	write(t, single, "two")
	if changed, _ := Load("rules", []string{single, dir}, []string{".yaml", ".yml"}); changed.Version == b.Version {
		t.Error("a changed file leaves the version as it was")
	}
}

func TestLoadFollowsALinkToAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules")
	write(t, filepath.Join(dir, "a.yaml"), "a")
	folder := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(dir, folder); err != nil {
		t.Fatal(err)
	}
	b, problems := Load("rules", []string{folder}, nil)
	if len(problems) != 0 || len(b.Files) != 1 {
		t.Errorf("Load of a linked folder = %v, %v: want its one file", paths(b), problems)
	}
}

func TestLoadKeepsBothOfTwoFoldersOfOneName(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "rules"), filepath.Join(t.TempDir(), "rules")
	write(t, filepath.Join(one, "a.yaml"), "1")
	write(t, filepath.Join(two, "a.yaml"), "2")
	b, _ := Load("rules", []string{one, two}, nil)
	if len(b.Files) != 2 || b.Files[0].Path == b.Files[1].Path {
		t.Errorf("files = %v, want two with names of their own", paths(b))
	}
}

func TestLoadLeavesOutWhatIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ok.yaml"), "ok")
	large := filepath.Join(dir, "large.yaml")
	write(t, large, "")
	if err := os.Truncate(large, MaxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	b, problems := Load("rules", []string{dir}, nil)
	if len(b.Files) != 1 || len(problems) != 1 || problems[0].Path != large {
		t.Errorf("files %v, problems %v: want ok.yaml alone and the large one named", paths(b), problems)
	}
}

func TestWatchSeesChangesAlsoInNewFolders(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 16)
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, []string{dir}, func() { changed <- struct{}{} }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	}()
	// The watch begins at an unknown moment: write until it is seen.
	see := func(what, path string) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for tick := time.NewTicker(250 * time.Millisecond); ; {
			write(t, path, time.Now().String())
			select {
			case <-changed:
				return
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s was not seen", what)
			}
		}
	}
	see("a new file", filepath.Join(dir, "a.yaml"))
	see("a file in a new folder", filepath.Join(dir, "sub", "b.yaml"))
	for len(changed) > 0 {
		<-changed
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("a removed file was not seen")
	}
	if !slices.Contains([]int{0, 1}, len(changed)) {
		t.Errorf("%d further calls for one change", len(changed))
	}
}
