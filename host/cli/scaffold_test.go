package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the command line in a directory, and wants an exit status.
func command(t *testing.T, dir string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	if got := run(t.Context(), App{}, args, strings.NewReader(""), &out, &errs); got != want {
		t.Fatalf("ironpost %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// offlineGo runs the go command without a network, outside the repository.
func offlineGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "CGO_ENABLED=0", "GOWORK=off")
	return cmd.CombinedOutput()
}

func TestEveryScaffoldBuildsAndPassesItsTests(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range scaffoldKinds() {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			name := kind + "-acme"
			out, _ := command(t, dir, exitDone, "plugin", "new", kind, name, "--sdk", root)
			if !strings.Contains(out, "cd "+name) || !strings.Contains(out, "ironpost plugin test ./"+name) {
				t.Errorf("it does not say what comes next:\n%s", out)
			}
			folder := filepath.Join(dir, name)
			formatted := exec.CommandContext(t.Context(), "gofmt", "-l", ".")
			formatted.Dir = folder
			if b, err := formatted.CombinedOutput(); err != nil || len(b) > 0 {
				t.Errorf("gofmt: %v %s", err, b)
			}
			before, err := os.ReadFile(filepath.Join(folder, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"build", "-o", os.DevNull, "./..."}, {"vet", "./..."}, {"test", "./..."}} {
				if b, err := offlineGo(t.Context(), folder, args...); err != nil {
					t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, b)
				}
			}
			after, err := os.ReadFile(filepath.Join(folder, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Errorf("the go command had to mend go.mod:\n%s\nbecame\n%s", before, after)
			}
		})
	}
}

func TestAScaffoldWithoutACheckoutRequiresARelease(t *testing.T) {
	dir := t.TempDir()
	out, _ := command(t, dir, exitDone, "plugin", "new", "parser", "parser-acme")
	if !strings.Contains(out, "go mod tidy") || !strings.Contains(out, "go mod edit -replace "+modulePath) {
		t.Errorf("it does not say how to build:\n%s", out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "parser-acme", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	want := "module example.com/parser-acme\n\ngo " + scaffoldGo + "\n\nrequire " + modulePath + " " + releaseVersion() + "\n"
	if string(b) != want {
		t.Errorf("go.mod is\n%s\nwant\n%s", b, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "parser-acme", "go.sum")); err == nil {
		t.Error("there is a go.sum without a checkout")
	}
}

func TestAScaffoldOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"parser", "taken"}, "exists already"},
		{[]string{"plugin", "acme"}, "is none of source, parser, detector, enforcer, sink, scanner"},
		{[]string{"parser", "Acme"}, "lower-case letters"},
		{[]string{"parser", "../acme"}, "lower-case letters"},
		{[]string{"parser", "acme", "--sdk", dir}, "go.mod"},
		{[]string{"parser"}, "KIND or NAME is missing"},
	} {
		_, errs := command(t, dir, exitUsage, append([]string{"plugin", "new"}, c.args...)...)
		if !strings.Contains(errs, c.want) {
			t.Errorf("plugin new %v: got %q, want %q in it", c.args, errs, c.want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want what was there before", entries, err)
	}
}
