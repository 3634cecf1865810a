package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jedisct1/go-minisign"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// names returns the names in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestInstallUpgradeRemove(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	first := buildThirdParty(t)
	second := filepath.Join(t.TempDir(), "parser-acme-2") // the same with other bytes behind its end
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, append(b, 0), 0o700); err != nil {
		t.Fatal(err)
	}
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"parser-syslog"}, PluginDirs: []string{dir}})

	var described struct {
		SHA256      string
		Code        string
		Description struct {
			Name, Version, Summary, Format string
			Kinds                          []string
		}
	}
	got := run(t, ironpost(t, "plugin", "describe", first, "-o", "json"))
	if err := json.Unmarshal([]byte(got.stdout), &described); err != nil || got.code != 0 {
		t.Fatalf("got exit code %d, %v in %q\n%s", got.code, err, got.stdout, got.stderr)
	}
	if d := described.Description; d.Name != "parser-acme" || d.Version != "1.2.3" || d.Format != "acme" || described.SHA256 != digestOf(t, first) {
		t.Errorf("got %+v, want what the plugin says of itself", described)
	}
	if got := run(t, ironpost(t, "plugin", "describe", "/bin/true")); got.code != 1 || !strings.Contains(got.stdout, "IP120") {
		t.Errorf("got exit code %d and %q, want 1 and IP120", got.code, got.stdout)
	}

	if got := call(t, h, "plugin", "install", "--dir", dir, first); got.code != 2 || !strings.Contains(got.stderr, "--yes") {
		t.Errorf("got exit code %d and %q, want 2: nobody agreed", got.code, got.stderr)
	}
	if got := call(t, h, "plugin", "install", "--dir", t.TempDir(), "--yes", first); got.code != 2 || !strings.Contains(got.stderr, dir) {
		t.Errorf("got exit code %d and %q, want 2 and the directories that there are", got.code, got.stderr)
	}
	if diff := cmp.Diff([]string(nil), names(t, dir)); diff != "" {
		t.Errorf("files after what was refused (-want +got):\n%s", diff)
	}
	if got := call(t, h, "plugin", "install", "--dir", dir, "--yes", first); got.code != 0 || !strings.Contains(got.stdout, "running") {
		t.Fatalf("got exit code %d, %q, %q, want it running", got.code, got.stdout, got.stderr)
	}
	path := filepath.Join(dir, "parser-acme")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o755 {
		t.Errorf("got %v, %v, want mode 0755", info.Mode(), err)
	}
	if p := h.Plugin("parser-acme"); p.State != "running" || p.Trust != "pinned" || p.SHA256 != digestOf(t, first) {
		t.Errorf("got %+v, want it running and pinned", p)
	}

	if got := call(t, h, "plugin", "install", "--yes", second); got.code != 1 || !strings.Contains(got.stderr, "--replace") {
		t.Errorf("got exit code %d and %q, want 1: the name is taken", got.code, got.stderr)
	}
	if p := h.Plugin("parser-acme"); p.SHA256 != digestOf(t, first) {
		t.Errorf("got %+v, want nothing changed", p)
	}
	if got := call(t, h, "plugin", "install", "--yes", "--replace", second); got.code != 0 {
		t.Errorf("got exit code %d and %q, want the upgrade", got.code, got.stderr)
	}
	if p := h.Plugin("parser-acme"); p.State != "running" || p.SHA256 != digestOf(t, second) || !executed(t, h)[p.SHA256] {
		t.Errorf("got %+v, want the new bytes running", p)
	}
	if diff := cmp.Diff([]string{"parser-acme"}, names(t, dir)); diff != "" {
		t.Errorf("files after an upgrade (-want +got):\n%s", diff)
	}

	if got := call(t, h, "plugin", "remove", "parser-syslog"); got.code != 1 || !strings.Contains(got.stderr, "ironpost plugin disable parser-syslog") {
		t.Errorf("got exit code %d and %q, want 1 and what to do instead", got.code, got.stderr)
	}
	if p := h.Plugin("parser-syslog"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
	if got := call(t, h, "plugin", "remove", "parser-acme"); got.code != 0 {
		t.Errorf("got exit code %d and %q", got.code, got.stderr)
	}
	if left := candidates(h, t, func(p hosttest.Plugin) bool { return p.Name == "parser-acme" }); len(left) != 0 || len(names(t, dir)) != 0 {
		t.Errorf("got %+v and %v, want nothing left", left, names(t, dir))
	}
	if executed(t, h)[digestOf(t, second)] {
		t.Error("the removed plugin runs on")
	}
	drop(t, second, path)
	if p := h.Plugin("parser-acme"); p.State != "discovered" || p.Trust != "" {
		t.Errorf("got %+v, want nobody to remember it", p)
	}

	// Without a host: the pin is there at its next start.
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	offline := func(args ...string) result {
		t.Helper()
		return run(t, ironpost(t, append([]string{"--socket", filepath.Join(h.Dir, "none"), "--config", h.ConfigFile(), "plugin"}, args...)...))
	}
	if got := offline("install", "--yes", "--replace", first); got.code != 0 {
		t.Errorf("got exit code %d and %q", got.code, got.stderr)
	}
	h.Start()
	if p := h.Plugin("parser-acme"); p.State != "running" || p.SHA256 != digestOf(t, first) {
		t.Errorf("got %+v, want it running", p)
	}
	if got := offline("remove", "parser-acme"); got.code != 1 || !strings.Contains(got.stderr, "in use") {
		t.Errorf("got exit code %d and %q, want 1: another host has the state", got.code, got.stderr)
	}
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	if got := offline("remove", "parser-acme"); got.code != 0 || len(names(t, dir)) != 0 {
		t.Errorf("got exit code %d and %q, files %v", got.code, got.stderr, names(t, dir))
	}
}

// testKey is a signing key for tests, and otherKey's public half another.
const (
	testKey = `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVZ6R3xTWseV6oZHNCQpbcs5eRcdSMizv0Wa55rKhVMQLtAbDY1LNwUyM+Iy5Okv5+ldDOykAGNe2vo8lKNHDKtYKPC3/FkngAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`
	testPublic = "RWRVnpHfFNax5UyM+Iy5Okv5+ldDOykAGNe2vo8lKNHDKtYKPC3/Fkng"
	otherKey   = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
)

// sign puts a signature beside a file.
func sign(t *testing.T, path, comment string) {
	t.Helper()
	key, err := minisign.DecodePrivateKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.SignFile(path, minisign.SignOptions{TrustedComment: comment})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".minisig", signature.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSignedPlugins(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	path := filepath.Join(dir, "parser-acme")
	drop(t, buildThirdParty(t), path)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"parser-syslog"}, PluginDirs: []string{dir},
		Config: `trusted_keys = ["` + otherKey + `", "` + testPublic + `"]`,
	})
	if p := h.Plugin("parser-syslog"); p.State != "running" {
		t.Errorf("got %+v, want what was built with the host to run", p)
	}
	want := func(state, code string) {
		t.Helper()
		if p := h.Plugin("parser-acme"); p.State != state || p.Code != code || p.PID != 0 {
			t.Errorf("got %+v, want %s %s, and no process", p, state, code)
		}
	}
	want("refused", "IP133")
	if p := h.Plugin("parser-acme"); p.Version != "" {
		t.Errorf("got %+v, want it not even described", p)
	}
	if _, err := h.CLI("plugin", "enable", "parser-acme"); err == nil || !strings.Contains(err.Error(), "IP133") {
		t.Errorf("got %v from enabling it, want IP133", err)
	}
	sign(t, path, "parser-acme 1.2.3")
	want("discovered", "")
	flip(t, path)
	want("refused", "IP134")
	flip(t, path)
	want("discovered", "")
	if out, err := h.CLI("plugin", "enable", "parser-acme"); err != nil || !strings.Contains(out, "key E5B1D614DF919E55 (parser-acme 1.2.3)") {
		t.Errorf("got %v and\n%s, want it enabled, and who signed it", err, out)
	}
	if p := h.Plugin("parser-acme"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
	if verdicts, code := verify(t, h, "parser-acme"); code != 0 || verdicts[0].Signature == "" || verdicts[0].Trust != "pinned" {
		t.Errorf("got exit code %d and %+v, want it pinned and signed", code, verdicts)
	}
	// A key that is not trusted any more takes its plugins with it.
	text, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(strings.Replace(string(text), `, "`+testPublic+`"`, "", 1))
	if _, err := h.CLI("config", "reload"); err != nil {
		t.Error(err)
	}
	want("refused", "IP134")
	if p := h.Plugin("parser-syslog"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
	if got := call(t, h, "plugin", "install", "--yes", "--replace", path); got.code != 1 || !strings.Contains(got.stderr, "IP134") {
		t.Errorf("got exit code %d and %q, want 1 and IP134", got.code, got.stderr)
	}
}
