//go:build record

package rules_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// recording is one line of SCENARIO.cases, as run.sh writes it.
type recording struct {
	scenario, rule, name string
	alerts               int
	stream               string
	keep                 *regexp.Regexp
	from, to             int64
	tools                string
	moved                time.Duration
	commands             string
}

// TestWriteRecordings writes what `make record-examples` recorded into examples/. A
// recording of which a rule makes other than the wanted number of alerts is not
// written, and fails.
func TestWriteRecordings(t *testing.T) {
	dir := os.Getenv("IRONPOST_RECORDINGS")
	if dir == "" {
		t.Skip("needs recordings; make record-examples makes them")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.cases"))
	if err != nil {
		t.Fatal(err)
	}
	rules := load(t)
	set := engine.Compile(rules)
	byRule, formats := map[string][]string{}, map[string]string{}
	var scenarios []string
	for _, name := range files {
		scenario := strings.TrimSuffix(filepath.Base(name), ".cases")
		scenarios = append(scenarios, scenario)
		for _, r := range readCases(t, name, scenario) {
			text, format, err := r.write(rules, set, strings.TrimSuffix(name, ".cases")+".d/events")
			if err != nil {
				t.Errorf("%s: %s, %q: %v", scenario, r.rule, r.name, err)
				continue
			}
			byRule[r.rule], formats[r.rule] = append(byRule[r.rule], text), format
		}
	}
	for id, cases := range byRule {
		if err := store(id, formats[id], scenarios, cases); err != nil {
			t.Errorf("write the examples of %s: %v", id, err)
		}
	}
}

// ordinary tells a recording of an ordinary day, for examples/ordinary_NAME.yaml, of
// which no rule may make an alert of medium or above.
func (r *recording) ordinary() bool { return strings.HasPrefix(r.rule, "ordinary") }

func readCases(t *testing.T, name, scenario string) (out []*recording) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 10 {
			t.Fatalf("%s: %d fields in %q", name, len(f), line)
		}
		r := &recording{scenario: scenario, rule: f[0], name: f[1], stream: f[3], tools: f[7], commands: shorten(f[9])}
		var errs [5]error
		var moved int
		r.alerts, errs[0] = strconv.Atoi(f[2])
		r.keep, errs[1] = regexp.Compile(f[4])
		r.from, errs[2] = strconv.ParseInt(f[5], 10, 64)
		r.to, errs[3] = strconv.ParseInt(f[6], 10, 64)
		moved, errs[4] = strconv.Atoi(f[8])
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatalf("%s: %v in %q", name, err, line)
		}
		r.moved = time.Duration(moved) * time.Second
		out = append(out, r)
	}
	return out
}

// shorten names the first of many commands.
func shorten(commands string) string {
	all := strings.Split(commands, "; ")
	times := map[string]int{}
	var out []string
	for _, c := range all {
		if times[c]++; times[c] == 1 {
			out = append(out, c)
		}
	}
	more := len(out) - 4
	if more > 0 {
		out = out[:4]
	}
	for i, c := range out {
		if n := times[c]; n > 1 {
			out[i] = fmt.Sprintf("%s (%d times)", c, n)
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "; ")
}

// lines returns the records of the case, in the order in which they arrived, and the
// source that delivered them, with the stream when there was one.
func (r *recording) lines(events string) (lines []string, source string, err error) {
	f, err := os.Open(events)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	s := bufio.NewScanner(io.NewSectionReader(f, r.from, r.to-r.from))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e struct{ Stream, Source, Message string }
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			return nil, "", fmt.Errorf("read %q: %w", s.Text(), err)
		}
		if ok, err := path.Match(r.stream, e.Stream); err != nil || !ok || !r.keep.MatchString(e.Message) || strings.Contains(e.Message, "record-mark-") {
			continue
		}
		lines = append(lines, e.Message)
		switch from := e.Source + " " + e.Stream; {
		case strings.HasPrefix(e.Stream, "container/"):
			source = e.Source // its id says nothing
		case source == "" || source == from:
			source = from
		default:
			source = e.Source
		}
	}
	return lines, source, s.Err()
}

// write returns the case as it stands in a file of examples, and the format of its
// lines.
func (r *recording) write(rules []*rule.Rule, set *engine.Set, events string) (text, format string, err error) {
	if !r.ordinary() && !slices.ContainsFunc(rules, func(o *rule.Rule) bool { return o.ID == r.rule }) {
		return "", "", errors.New("there is no such rule")
	}
	lines, source, err := r.lines(events)
	if err != nil {
		return "", "", err
	}
	if len(lines) == 0 {
		return "", "", errors.New("nothing was recorded")
	}
	format, err = formatOf(r.rule)
	if errors.Is(err, fs.ErrNotExist) {
		format, err = guess(r.stream), nil
	}
	if err != nil {
		return "", "", err
	}
	input := strings.Join(lines, "\n") + "\n"
	logs, err := parseLines(format, "", []byte(input))
	if err != nil {
		return "", "", err
	}
	var alerts []*event.AlertEvent
	e := engine.New(set, engine.Options{})
	for i, ev := range logs {
		ev.Stream = &event.Stream{Name: "example", Format: format, Provenance: event.ProvenanceHost}
		ev.Sequence = uint64(i)
		ev.ObservedTime = ev.Time.Add(time.Millisecond)
		e.Log(ev, func(a *event.AlertEvent) {
			if a.RuleID == r.rule || r.ordinary() && a.Severity >= event.SeverityMedium {
				alerts = append(alerts, a)
			}
		})
	}
	if len(alerts) != r.alerts {
		return "", "", fmt.Errorf("%d alerts, want %d, of\n%s", len(alerts), r.alerts, input[:min(len(input), 2000)])
	}
	about := example.Recording{Tools: r.tools, Source: source, By: r.scenario, Commands: r.commands}
	if r.moved != 0 {
		about.Note = fmt.Sprintf("the clock of the system log was set forward between the acts, by %s in all", r.moved)
	}
	text, err = render(r.name, about, input, alerts)
	return text, format, err
}

// guess is the format of a stream, for a rule that has no examples yet.
func guess(stream string) string {
	switch {
	case strings.Contains(stream, "container/") || stream == "events":
		return "json"
	case strings.Contains(stream, "/audit/"):
		return "auditd"
	case strings.Contains(stream, "/nginx/") || strings.Contains(stream, "/apache2/"):
		return "web"
	case strings.Contains(stream, "/mysql/") || strings.Contains(stream, "/postgresql/") || strings.HasSuffix(stream, "/dpkg.log"):
		return "text"
	}
	return "syslog"
}

func formatOf(id string) (string, error) {
	data, err := os.ReadFile("examples/" + id + ".yaml")
	if err != nil {
		return "", err
	}
	f, err := example.Parse(data)
	if err != nil {
		return "", err
	}
	return f.Format, nil
}

func render(name string, about example.Recording, input string, alerts []*event.AlertEvent) (string, error) {
	scalar := func(s string) string {
		out, err := yaml.Marshal(s)
		if err != nil || strings.Contains(strings.TrimSuffix(string(out), "\n"), "\n") {
			return strconv.Quote(s)
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    recorded:\n", scalar(name))
	for _, m := range [...]struct{ key, value string }{
		{"tools", about.Tools}, {"source", about.Source}, {"by", about.By}, {"commands", about.Commands}, {"note", about.Note},
	} {
		if m.value != "" {
			fmt.Fprintf(&b, "      %s: %s\n", m.key, scalar(m.value))
		}
	}
	b.WriteString("    input: |\n")
	for line := range strings.Lines(input) {
		b.WriteString("      " + line)
	}
	if len(alerts) == 0 {
		b.WriteString("    alerts: []\n")
	} else {
		b.WriteString("    alerts:\n")
	}
	for _, a := range alerts {
		parts := []string{}
		if a.Group != "" {
			parts = append(parts, "group: "+strconv.Quote(a.Group))
		}
		if a.Count > 0 {
			parts = append(parts, fmt.Sprintf("count: %d", a.Count))
		}
		parts = append(parts, "severity: "+a.Severity.String())
		var entities []string
		for _, key := range []string{"src_ip", "user", "container_id"} {
			if v := a.Entity(key); v != "" {
				entities = append(entities, key+": "+strconv.Quote(v))
			}
		}
		if len(entities) > 0 {
			parts = append(parts, "entities: {"+strings.Join(entities, ", ")+"}")
		}
		b.WriteString("      - {" + strings.Join(parts, ", ") + "}\n")
	}
	// What stands there must be what was recorded.
	var back struct{ Cases []example.Case }
	if err := yaml.Unmarshal([]byte("cases:\n"+b.String()), &back); err != nil {
		return "", fmt.Errorf("the recording is no YAML: %w", err)
	}
	if got := back.Cases[0].Input; got != input {
		return "", fmt.Errorf("YAML makes %q of %q", got, input)
	}
	return b.String(), nil
}

// store replaces the recorded cases of some scenarios in a file, and keeps the others
// behind them as they stand.
func store(id, format string, scenarios, cases []string) error {
	name := "examples/" + id + ".yaml"
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		about := "rule: " + id
		if strings.HasPrefix(id, "ordinary") {
			about = "quiet: medium"
		}
		data = fmt.Appendf(nil, "%s\nformat: %s\ncases:\n", about, format)
	} else if err != nil {
		return err
	}
	lines := slices.Collect(strings.Lines(string(data)))
	f, err := example.Parse(data)
	if err != nil {
		f = &example.File{} // it has no cases yet
	}
	end := len(lines)
	if len(f.Cases) > 0 {
		end = f.Cases[0].Line - 1
	}
	out := append([]string{}, lines[:end]...)
	out = append(out, cases...)
	for i, c := range f.Cases {
		next := len(lines)
		if i+1 < len(f.Cases) {
			next = f.Cases[i+1].Line - 1
		}
		if c.Recorded == nil || !slices.Contains(scenarios, c.Recorded.By) {
			out = append(out, lines[c.Line-1:next]...)
		}
	}
	return os.WriteFile(name, []byte(strings.Join(out, "")), 0o644)
}
