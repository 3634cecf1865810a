//go:build corpus

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// unpack writes the files of a .tar.gz of the public collections and returns their
// folder.
func unpack(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(dataFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		to := filepath.Join(dir, filepath.Clean("/"+header.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(files)
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheCorpusIsValidated: of SigmaHQ's rules all load but the two that need a
// placeholder, and the other YAML beside them is passed over.
func TestTheCorpusIsValidated(t *testing.T) {
	t.Parallel()
	rules, recordings := unpack(t, "sigma-rules.tar.gz"), unpack(t, "sigma-regression.tar.gz")
	out := run(t, ironpost(t, "rules", "validate", "-o", "json", rules, recordings))
	type rejected struct{ Code, Reason string }
	type validation struct {
		Files, Rules, Loaded, Skipped int
		Rejected                      []rejected
	}
	var got validation
	if err := json.Unmarshal([]byte(out.stdout), &got); err != nil {
		t.Fatalf("%v in %s%s", err, out.stdout, out.stderr)
	}
	missing := rejected{"unresolved_placeholder", "unresolved placeholder %known_cdcs%"}
	want := validation{Files: 3855, Rules: 3754, Loaded: 3752, Skipped: 101, Rejected: []rejected{missing, missing}}
	if d := cmp.Diff(want, got); d != "" || out.code != 2 {
		t.Errorf("exit %d, differs (-want +got):\n%s", out.code, d)
	}
	t.Logf("%d files: %d rules, %d loaded, %d rejected, %d documents passed over", got.Files, got.Rules, got.Loaded, len(got.Rejected), got.Skipped)
}

// contradicted are the recordings whose info.yml contradicts the rule: this one says
// 1, and three of its six events have a TargetFilename with an ending of the rule.
var contradicted = map[string]int{"8fbf3271-1ef6-4e94-8210-03c2317947f6": 3}

// TestRecordingsAreReplayed: every recorded attack raises, through the whole
// command, the alerts of the rule that owns it, as many as it says, and each names
// what matched.
func TestRecordingsAreReplayed(t *testing.T) {
	t.Parallel()
	rules, root := unpack(t, "sigma-rules.tar.gz"), unpack(t, "sigma-regression.tar.gz")
	type recording struct {
		path, rule string
		count      int
	}
	var recordings []recording
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "info.yml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var info struct {
			Rules []struct {
				ID string `yaml:"id"`
			} `yaml:"rule_metadata"`
			Tests []struct {
				Path  string `yaml:"path"`
				Type  string `yaml:"type"`
				Count int    `yaml:"match_count"`
			} `yaml:"regression_tests_info"`
		}
		if err := yaml.Unmarshal(data, &info); err != nil {
			return err
		}
		for _, test := range info.Tests {
			r := recording{rule: info.Rules[0].ID, count: test.Count}
			if really, ok := contradicted[r.rule]; ok {
				r.count = really
			}
			for _, ending := range []string{".json", ".jsoncls"} {
				file := filepath.Join(root, strings.TrimSuffix(test.Path, filepath.Ext(test.Path))+ending)
				if _, err := os.Stat(file); err == nil {
					r.path = file
				}
			}
			recordings = append(recordings, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"replay", "--format", "windows-event", "--rules", rules}
	for _, r := range recordings {
		if r.path == "" {
			t.Fatalf("there is no recording for %s", r.rule)
		}
		args = append(args, r.path)
	}
	out := run(t, ironpost(t, args...))
	type key struct{ stream, rule string }
	hits := map[key]int{}
	for line := range strings.Lines(out.stdout) {
		var a struct {
			RuleID  string            `json:"rule_id"`
			Causes  []string          `json:"causes"`
			Details map[string]string `json:"details"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if a.Details["matched"] == "" || len(a.Causes) != 1 {
			t.Errorf("alert without evidence: %s", line)
		}
		stream, _, _ := strings.Cut(a.Causes[0], "-")
		hits[key{stream, a.RuleID}]++
	}
	counted := 0
	for _, r := range recordings {
		// The stream of a file that the host reads itself, as sdk/event has it.
		sum := sha256.Sum256([]byte("host\x00" + r.path))
		n := hits[key{hex.EncodeToString(sum[:8]), r.rule}]
		if r.count > 0 {
			counted++
		}
		if n == 0 || r.count > 0 && n != r.count {
			t.Errorf("%s: %d alerts of %s, want %d", filepath.Base(r.path), n, r.rule, r.count)
		}
	}
	if len(recordings) != 100 || !slices.ContainsFunc(strings.Split(out.stderr, "\n"), func(l string) bool { return strings.Contains(l, " 0 unparsed") }) {
		t.Errorf("%d recordings\n%s", len(recordings), out.stderr)
	}
	t.Logf("%d recordings, %d of them with a count", len(recordings), counted)
}
