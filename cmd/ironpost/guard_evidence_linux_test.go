package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// incidentLine is what `guard evidence -o json` says of an incident.
type incidentLine struct {
	ID            string            `json:"id"`
	Path          string            `json:"path"`
	ContainerName string            `json:"container_name"`
	State         string            `json:"state"`
	Manifest      string            `json:"manifest"`
	Recorded      string            `json:"recorded"`
	Faults        []string          `json:"faults"`
	Missing       map[string]string `json:"missing"`
	Files         []struct {
		Name  string `json:"name"`
		Bytes int    `json:"bytes"`
		State string `json:"state"`
		Cut   bool   `json:"cut"`
	} `json:"files"`
}

// exportBytes bounds the exports of the test: a container of busybox is smaller, one
// with another 4 MiB is not.
const exportBytes = 3 << 20

// TestGuardEvidence follows evidence from the policy to its folder, with the files of
// the container, and to who looks at it later: with a host and without, after it was
// changed, and after it was changed with its manifest.
func TestGuardEvidence(t *testing.T) {
	d := guardDocker(t)
	t.Parallel()
	group, err := user.LookupGroupId("1")
	if err != nil {
		t.Skipf("needs a group with id 1: %v", err)
	}
	const granted = `docker_calls = ["GET /containers/*/export"]`
	a := answer(t, d, d.Socket, "name: keep\nmatch: {name: [\"*\"]}\nactions: [{evidence: {export: true}}]\n",
		fmt.Sprintf("[guard]\nmax_per_minute = 100\n[container]\nevidence_export_bytes = %d\n%s\n", exportBytes, granted), "IRONPOST_CONTROL_GROUP="+group.Name)
	for _, name := range []string{"small", "big", "refused"} {
		a.container(name, "", "")
	}
	full := make([]byte, 4<<20)
	put := exec.Command("tar", "-c", "-C", writeFiles(t, map[string]string{"full": string(full)}), ".")
	archive, err := put.Output()
	if err != nil {
		t.Fatal(err)
	}
	d.Call(nil, "PUT", "/containers/big/archive?path=/", bytes.NewReader(archive), "application/x-tar")
	a.mode("enforce")
	a.attack("trial", "small", "big")
	kept := map[string]string{}
	for _, name := range []string{"small", "big"} {
		kept[name] = a.told(name, "evidence", "applied", "").ID
	}

	look := func(name string, wantCode int, more ...string) (found incidentLine) {
		t.Helper()
		out, err := a.CLI(append([]string{"guard", "evidence", kept[name], "-o", "json"}, more...)...)
		if hosttest.ExitCode(err) != wantCode {
			t.Fatalf("evidence of %s: got %v, want exit code %d", name, err, wantCode)
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatalf("evidence of %s: %v in %q", name, err, out)
		}
		return found
	}
	small, big := look("small", 0), look("big", 0)
	for _, i := range []incidentLine{small, big} {
		cut := i.ContainerName == "big"
		export := 0
		for _, f := range i.Files {
			if f.State != "ok" {
				t.Errorf("%s of %s is %q", f.Name, i.ContainerName, f.State)
			}
			if f.Name == "export.tar" {
				export++
				if f.Cut != cut || cut && f.Bytes != exportBytes || !cut && f.Bytes >= exportBytes {
					t.Errorf("the export of %s has %d bytes, cut: %v", i.ContainerName, f.Bytes, f.Cut)
				}
			}
		}
		if i.State != "verified" || i.Manifest == "" || i.Manifest != i.Recorded || export != 1 || len(i.Missing) > 0 {
			t.Errorf("got %+v, want it verified, with an export", i)
		}
	}
	if out, err := exec.Command("tar", "-tf", filepath.Join(small.Path, "export.tar")).CombinedOutput(); err != nil || !strings.Contains(string(out), "busybox") {
		t.Errorf("the export: %v, %.300s", err, out)
	}
	if told := a.told("big", "evidence", "applied", ""); !strings.Contains(told.Details["evidence_cut"], "more than 3145728 bytes") {
		t.Errorf("that the export is cut is not told: %+v", told)
	}
	var list []incidentLine
	if a.JSON(&list, "guard", "evidence"); len(list) != 2 {
		t.Errorf("got %d incidents, want 2", len(list))
	}
	// One who may not read the folder learns as much from the host.
	if out, code := a.as(alice, []uint32{1}, "guard", "evidence", kept["small"][:8]); code != 0 || !strings.Contains(out, ": verified") {
		t.Errorf("as another user: got %d, %s", code, out)
	}
	// Whoever changes a file is found out, also when the manifest is made anew.
	changed := filepath.Join(big.Path, "inspect.json")
	if err := os.WriteFile(changed, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := look("big", 1); i.State != "changed" || len(i.Faults) != 1 || !strings.Contains(i.Faults[0], "inspect.json") {
		t.Errorf("after a change: got %s, %q", i.State, i.Faults)
	}
	sums, err := os.ReadFile(filepath.Join(big.Path, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	var forged strings.Builder
	for line := range strings.Lines(string(sums)) {
		if strings.HasSuffix(line, "  inspect.json\n") {
			line = fmt.Sprintf("%x  inspect.json\n", sha256.Sum256([]byte("{}")))
		}
		forged.WriteString(line)
	}
	if err := os.WriteFile(filepath.Join(big.Path, "SHA256SUMS"), []byte(forged.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := look("big", 1); len(i.Faults) != 1 || !strings.Contains(i.Faults[0], "recorded") {
		t.Errorf("after a change of the manifest too: got %q", i.Faults)
	}

	// Without the call granted all else is kept, and what is missing is said.
	text, err := os.ReadFile(a.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	a.WriteConfig(strings.Replace(string(text), granted, "", 1))
	a.Start()
	a.ready()
	a.attack("worse", "refused")
	told := a.told("refused", "evidence", "partial", "")
	kept["refused"] = told.ID
	if i := look("refused", 0); !strings.Contains(i.Missing["export.tar"], "not granted") || !strings.Contains(told.Reason, "export.tar") {
		t.Errorf("without the grant: got %+v, told %q", i.Missing, told.Reason)
	}

	// Without a host the folder is read, and what was recorded is in the audit log.
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if i := look("small", 0, "--config", a.ConfigFile()); i.State != "verified" {
		t.Errorf("offline: got %s", i.State)
	}
	if i := look("big", 1, "--config", a.ConfigFile()); i.State != "changed" {
		t.Errorf("offline, changed: got %s", i.State)
	}
	copied := filepath.Join(t.TempDir(), "case")
	if out, err := exec.Command("cp", "-r", filepath.Dir(small.Path), copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if i := look("small", 0, "--dir", copied, "--manifest", small.Recorded); i.State != "verified" || !strings.HasPrefix(i.Path, copied) {
		t.Errorf("a copy: got %s in %s", i.State, i.Path)
	}
	if i := look("small", 1, "--dir", copied, "--manifest", strings.Repeat("0", 64)); i.State != "changed" {
		t.Errorf("a copy that is not the one recorded: got %s", i.State)
	}
}
