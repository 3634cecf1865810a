package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// goImage has two programs of Go that wait: of one the linker kept text/tabwriter, and of the
// other it did not.
func goImage(t *testing.T) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, flush := range map[string]string{"with": "tabwriter.NewWriter(os.Stdout, 0, 8, 0, 0, 0).Flush()", "without": "os.Stdout.Sync()"} {
		imports := `"os"; "time"`
		if name == "with" {
			imports += `; "text/tabwriter"`
		}
		dir := writeFiles(t, map[string]string{
			"main.go": "package main\n\nimport (" + imports + ")\n\nfunc main() {\n\tprintln(" + flush + " == nil)\n\ttime.Sleep(time.Hour)\n}\n",
		})
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), filepath.Join(dir, "main.go"))
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, text)
		}
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: "usr/bin/" + name, Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(program); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// TestVulnerableFunctions: two containers run programs of one vulnerable version of Go. The one whose
// program has the vulnerable function raises an alert, and of the other the inventory says that
// it was not observed.
func TestVulnerableFunctions(t *testing.T) {
	t.Parallel()
	image := goImage(t)
	d := guardDocker(t)
	d.Call(nil, http.MethodPost, "/images/create?fromSrc=-&repo=gopher&tag=1", image, "application/x-tar")
	dir := writeFiles(t, map[string]string{"advisories/go.json": fmt.Sprintf(
		`{"schema_version": "1.7.0", "id": "GO-2026-0001", "modified": %q, "affected": [{"package": {"ecosystem": "Go", "name": "stdlib"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "99.0.0"}]}],
		"ecosystem_specific": {"imports": [{"path": "text/tabwriter", "symbols": ["Writer.Flush"]}]}}]}`, time.Now().UTC().Format(time.RFC3339))})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"scanner-sbom", "sink-sqlite"}, Config: fmt.Sprintf("docker_socket = %q\n", d.Socket),
	})
	if out, err := h.CLI("--config", h.ConfigFile(), "vulndb", "import", filepath.Join(dir, "advisories")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &shop{d, h}
	ids := map[string]string{}
	for _, name := range []string{"without", "with"} {
		ids[name] = s.start(name, "gopher:1", "/usr/bin/"+name)
		t.Cleanup(func() { d.Call(nil, http.MethodDelete, "/containers/"+name+"?force=1", http.NoBody, "") })
	}
	status := func(name string) (out []string) {
		var all []struct {
			Target   string
			InUse    bool `json:"in_use"`
			Findings []struct{ ID, Status string }
		}
		h.JSON(&all, "inventory", "list", "--cve", "GO-2026-0001")
		for _, p := range all {
			for _, f := range p.Findings {
				if p.Target == "container:"+ids[name] && p.InUse {
					out = append(out, f.Status)
				}
			}
		}
		return out
	}
	is := func(name, want string) bool { got := status(name); return len(got) == 1 && got[0] == want }
	h.Wait(time.Minute, "of the program without it the inventory says so", func() bool { return is("without", "not_observed") })
	h.Wait(time.Minute, "there is an alert", func() bool { return len(s.alerts()) > 0 })
	h.Wait(time.Minute, "of the program with it the inventory says nothing else", func() bool { return is("with", "") })
	all := s.alerts()
	if len(all) != 1 || all[0].RuleID != "vulnerable_package_in_use" || all[0].Entities["container_id"] != ids["with"] || all[0].Entities["path"] != "/usr/bin/with" {
		t.Errorf("alerts %v, want one about the program that has the function", all)
	}
}
