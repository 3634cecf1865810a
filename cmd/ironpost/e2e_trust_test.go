package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// verdict is what plugin verify says of one file.
type verdict struct {
	Name, Path, State, Trust, SHA256, Signature, Code, Rule, Observed, Wanted, Mend string
}

// verify runs plugin verify against a host.
func verify(t *testing.T, h *hosttest.Host, args ...string) (verdicts []verdict, code int) {
	t.Helper()
	got := call(t, h, append([]string{"plugin", "verify", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(got.stdout), &verdicts); err != nil {
		t.Fatalf("plugin verify: %v in %q\n%s", err, got.stdout, got.stderr)
	}
	return verdicts, got.code
}

// digestOf returns the SHA-256 of a file.
func digestOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// flip changes one byte of a file and puts the result in its place.
func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	flipped := filepath.Join(t.TempDir(), "flipped")
	if err := os.WriteFile(flipped, b, 0o755); err != nil {
		t.Fatal(err)
	}
	drop(t, flipped, path)
}

// executed returns the SHA-256 of what each descendant of the host executes.
func executed(t *testing.T, h *hosttest.Host) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	parents := []int{h.PID()}
	for len(parents) > 0 {
		parent := parents[0]
		parents = parents[1:]
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err != nil {
				continue // the thread has ended
			}
			for word := range strings.FieldsSeq(string(b)) {
				pid, err := strconv.Atoi(word)
				if err != nil {
					t.Fatal(err)
				}
				parents = append(parents, pid)
				if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
					sum := sha256.Sum256(b)
					out[hex.EncodeToString(sum[:])] = true
				}
			}
		}
	}
	return out
}

// TestOnlyApprovedBytesAreRun is the promise that everything else rests on: a
// plugin with one flipped byte, a world-writable one, a symlinked one and a
// renamed copy of an enabled one lie beside sound ones. None of the four is run,
// each has a code of its own, and the commands that are shown mend them.
func TestOnlyApprovedBytesAreRun(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	drop(t, buildThirdParty(t), at("parser-acme"))
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/misfit", at("misfit-talker"), "-ldflags=-s -w -X main.how=talker")
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"parser-syslog"}, PluginDirs: []string{dir}})
	for _, name := range []string{"parser-acme", "misfit-talker"} {
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Fatal(err)
		}
	}
	if verdicts, code := verify(t, h); code != 0 || len(verdicts) != 3 {
		t.Errorf("got exit code %d and %+v, want three trusted plugins", code, verdicts)
	}
	approved := []string{h.Plugin("parser-acme").SHA256, h.Plugin("parser-syslog").SHA256, h.Plugin("misfit-talker").SHA256}

	// While it runs: the process of the approved bytes goes on, the new bytes
	// are not run, also not when the plugin is told to start again.
	flip(t, at("misfit-talker"))
	if p := h.Plugin("misfit-talker"); p.State != "changed" || p.Code != "IP130" {
		t.Errorf("got %+v, want it changed, IP130", p)
	}
	_, _ = h.CLI("plugin", "reload", "misfit-talker") // whatever it says
	for digest := range executed(t, h) {
		if !slices.Contains(approved, digest) && digest != digestOf(t, filepath.Join(hosttest.Build(), "ironpost")) {
			t.Errorf("bytes with SHA-256 %s are executed", digest)
		}
	}
	if err := h.Stop(); err != nil {
		t.Errorf("stop the host: %v", err)
	}

	drop(t, at("parser-acme"), at("writable"))
	if err := os.Chmod(at("writable"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("parser-acme"), at("link")); err != nil {
		t.Fatal(err)
	}
	drop(t, at("parser-acme"), at("renamed"))
	h.Start()

	want := map[string]string{
		"misfit-talker": "changed IP130", "writable": "refused IP102", "link": "refused IP106", "parser-acme": "refused IP131",
	}
	got := map[string]string{}
	for _, p := range candidates(h, t, func(p hosttest.Plugin) bool { return p.State != "running" }) {
		got[p.Name] = p.State + " " + p.Code
		if p.PID != 0 || p.Enabled || p.LastError == "" {
			t.Errorf("got %+v, want no process and a reason", p)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is not run (-want +got):\n%s", diff)
	}
	ran := executed(t, h)
	if len(ran) == 0 {
		t.Error("got no process of the host, want those of the sound plugins")
	}
	for digest := range ran {
		if !slices.Contains(approved[:2], digest) && digest != digestOf(t, filepath.Join(hosttest.Build(), "ironpost")) {
			t.Errorf("bytes with SHA-256 %s are executed", digest)
		}
	}
	if p := h.Plugin("parser-syslog"); p.State != "running" {
		t.Errorf("got %+v, want the sound ones to run", p)
	}
	if out, err := h.CLI("plugin", "list"); err != nil || !strings.Contains(out, "IP130 misfit-talker") || !strings.Contains(out, "ironpost plugin verify") {
		t.Errorf("got %v and\n%s, want the codes below the list, and where the mend is shown", err, out)
	}

	// The commands that verify shows, typed one after the other, mend it all. A
	// file that is mended may turn out to be a copy.
	for range 3 {
		verdicts, code := verify(t, h)
		if code == 0 {
			break
		}
		for _, v := range verdicts {
			if v.Code == "" {
				continue
			}
			if v.Rule == "" || v.Observed == "" || v.Wanted == "" || v.Mend == "" {
				t.Errorf("got %+v, want rule, observed, wanted and mend", v)
			}
			sh := exec.CommandContext(t.Context(), "sh", "-c", v.Mend)
			sh.Env = append(os.Environ(), "PATH="+hosttest.Build()+":"+os.Getenv("PATH"), "IRONPOST_CONTROL_SOCKET="+h.Socket)
			if out, err := sh.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", v.Mend, err, out)
			}
		}
	}
	verdicts, code := verify(t, h)
	if code != 0 {
		t.Errorf("got exit code %d and %+v, want everything mended", code, verdicts)
	}
	if p := h.Plugin("misfit-talker"); p.State != "running" || p.SHA256 == approved[2] {
		t.Errorf("got %+v, want the flipped bytes running: somebody enabled them", p)
	}
}

// TestVerifyWithoutAHost holds files to the state that a host left.
func TestVerifyWithoutAHost(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	binary := buildThirdParty(t)
	drop(t, binary, filepath.Join(dir, "parser-acme"))
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"parser-syslog"}, PluginDirs: []string{dir}})
	offline := func(args ...string) ([]verdict, result) {
		t.Helper()
		got := run(t, ironpost(t, append([]string{"--socket", filepath.Join(h.Dir, "none"), "--config", h.ConfigFile(), "plugin", "verify", "-o", "json"}, args...)...))
		var verdicts []verdict
		if got.code != 2 {
			if err := json.Unmarshal([]byte(got.stdout), &verdicts); err != nil {
				t.Fatalf("plugin verify: %v in %q\n%s", err, got.stdout, got.stderr)
			}
		}
		return verdicts, got
	}
	if _, err := h.CLI("plugin", "enable", "parser-acme"); err != nil {
		t.Fatal(err)
	}
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	got, r := offline()
	states := map[string]string{}
	for _, v := range got {
		states[v.Name] = v.State + " " + v.Trust
	}
	if diff := cmp.Diff(map[string]string{"parser-syslog": "trusted built-in", "parser-acme": "trusted pinned"}, states); diff != "" || r.code != 0 {
		t.Errorf("got exit code %d, states (-want +got):\n%s", r.code, diff)
	}
	flip(t, filepath.Join(dir, "parser-acme"))
	if got, r := offline("parser-acme"); r.code != 1 || len(got) != 1 || got[0].State != "changed" || got[0].Code != "IP130" {
		t.Errorf("got exit code %d and %+v, want it changed", r.code, got)
	}
	if got, r := offline(binary); r.code != 0 || len(got) != 1 || got[0].Name != "parser-acme" || got[0].State != "trusted" {
		t.Errorf("a file elsewhere: got exit code %d and %+v, want the pinned bytes", r.code, got)
	}
	if _, r := offline("no-such"); r.code != 2 || !strings.Contains(r.stderr, "no-such is neither") {
		t.Errorf("got exit code %d, %q, want 2 and what is missing", r.code, r.stderr)
	}
}

// A setting that widens what a plugin may do needs a new grant.
func TestWiderSettingNeedsAGrant(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/sink-record", filepath.Join(dir, "sink-record"), "-ldflags=-s -w")
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"parser-syslog"}, PluginDirs: []string{dir}})
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	if p := h.Plugin("sink-record"); p.State != "running" {
		t.Fatalf("got %+v, want it running", p)
	}
	other := writeFiles(t, nil)
	if err := os.Chmod(other, 0o777); err != nil { //nolint:gosec // the plugin's user is not known
		t.Fatal(err)
	}
	appendConfig(t, h, fmt.Sprintf("[sink_record]\ndir = %q\n", other))
	_, _ = h.CLI("config", "reload") // the plugin cannot be restarted with it
	var info struct {
		NotGranted []string `json:"not_granted"`
	}
	h.Wait(30*time.Second, "the host says what it does not grant", func() bool {
		return h.Try(&info, "plugin", "info", "sink-record") == nil && len(info.NotGranted) == 1
	})
	if !strings.HasPrefix(info.NotGranted[0], "write "+other) {
		t.Errorf("got %q, want the new directory", info.NotGranted)
	}
	if left := names(t, other); len(left) > 0 {
		t.Errorf("got %v, written by a plugin that may not", left)
	}
	if out, err := h.CLI("plugin", "enable", "sink-record"); err != nil || !strings.Contains(out, "write "+other) {
		t.Errorf("got %v and\n%s, want the new permission shown and granted", err, out)
	}
	h.Wait(30*time.Second, "the plugin writes to the new directory", func() bool {
		_, err := os.Stat(filepath.Join(other, "record"))
		return err == nil
	})
	if p := h.Plugin("sink-record"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
}
