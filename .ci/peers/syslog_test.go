package peers

import (
	"fmt"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/ironpost/ironpost/host/benchtest"
	own "github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestBenchParse measures what a line costs to parse, beside a library that reads
// the header alone. The lines are those of OpenSSH_2k.log, in both forms, and the
// example of RFC 5424 with structured data.
func TestBenchParse(t *testing.T) {
	quiet(t)
	var recent [][]byte
	lines := openSSH(t)
	for _, l := range lines {
		when, err := time.Parse("2006 Jan _2 15:04:05", "2024 "+l.stamp)
		if err != nil {
			t.Fatal(err)
		}
		recent = append(recent, fmt.Appendf(nil, "<38>1 %s LabSZ sshd 24200 - - %s", when.Format("2006-01-02T15:04:05.000Z"), l.message))
	}
	structured := [][]byte{[]byte(`<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] An application event log entry...`)}
	report := &benchtest.Report{Name: "parse"}
	for _, c := range []struct {
		name  string
		lines [][]byte
		peer  syslog.Machine
	}{
		{"RFC 3164, OpenSSH", old(lines), rfc3164.NewParser(rfc3164.WithYear(rfc3164.Year{YYYY: 2024}))},
		{"RFC 5424, OpenSSH", recent, rfc5424.NewParser()},
		{"RFC 5424, structured data", structured, rfc5424.NewParser()},
	} {
		ours := parse(t, c.lines)
		refused := 0
		for _, l := range c.lines {
			if _, err := c.peer.Parse(l); err != nil {
				refused++
			}
		}
		theirs := cost(len(c.lines), func(i int) { _, _ = c.peer.Parse(c.lines[i]) })
		report.Target(t, c.name, "cost, with the fields of the message", ours, "ns", ours <= 500, "<= 500")
		report.Add(c.name, "cost in go-syslog, which reads the header alone", theirs, "ns")
		if refused > 0 {
			report.Add(c.name, "lines that go-syslog refuses", float64(refused), "lines")
		}
	}
	report.Write(t)
}

// old returns lines in the form of RFC 3164.
func old(lines []*line) (out [][]byte) {
	for _, l := range lines {
		out = append(out, []byte("<38>"+l.raw))
	}
	return out
}

// parse is what a line costs the own parser, in ns.
func parse(t *testing.T, lines [][]byte) float64 {
	t.Helper()
	var p own.Parser
	var out event.LogEvent
	raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: time.Date(2024, 12, 31, 0, 0, 0, 0, time.UTC)}
	return cost(len(lines), func(i int) {
		raw.Line = lines[i]
		out.Reset()
		if err := p.Parse(raw, &out); err != nil {
			t.Fatalf("%s: %v", lines[i], err)
		}
	})
}
