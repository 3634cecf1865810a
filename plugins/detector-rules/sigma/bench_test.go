package sigma_test

import (
	"bufio"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
)

// spread takes n rules from all over the corpus.
func spread(rules []*sigma.Rule, n int) []*sigma.Rule {
	out := make([]*sigma.Rule, 0, n)
	for i := range n {
		out = append(out, rules[i*len(rules)/n])
	}
	return out
}

func windowsEvents(t testing.TB) []*winevent.Event {
	var out []*winevent.Event
	for _, r := range samples(t) {
		out = append(out, r.events...)
	}
	return out
}

// BenchmarkMatch is the time for one recorded Windows event, with rules from all
// over the corpus.
func BenchmarkMatch(b *testing.B) {
	_, loaded := corpus(b)
	events := windowsEvents(b)
	for _, n := range []int{10, 100, 300, 1000, 3000, len(loaded.Rules)} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			s := match.Compile(spread(loaded.Rules, n)).NewScratch()
			for _, e := range events {
				s.Match(e)
			}
			b.ReportAllocs()
			i, hits := 0, 0
			for b.Loop() {
				hits += len(s.Match(events[i]))
				if i++; i == len(events) {
					i = 0
				}
			}
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
		})
	}
}

// sshLine is a line of sshd as a parser gives it.
type sshLine struct{ process, message, raw string }

func (l *sshLine) Sources(s *match.Scratch) {
	s.Source(sigma.LogSource{Product: "linux", Service: "sshd"})
	s.Source(sigma.LogSource{Product: "linux", Service: "auth"})
}

func (l *sshLine) Values(s *match.Scratch) {
	s.Text("host", "LabSZ")
	s.Text("process", l.process)
	s.Int("pid", 24200)
	s.Text("message", l.message)
	s.Line(l.raw)
}

// BenchmarkMatchSyslog is the time for one line of OpenSSH_2k.log.
func BenchmarkMatchSyslog(b *testing.B) {
	_, loaded := corpus(b)
	f := open(b, "loghub/OpenSSH_2k.log")
	defer f.Close()
	var lines []*sshLine
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line := &sshLine{raw: scanner.Text()}
		head, message, _ := strings.Cut(line.raw, "]: ")
		line.message = message
		line.process, _, _ = strings.Cut(head[strings.LastIndexByte(head, ' ')+1:], "[")
		lines = append(lines, line)
	}
	for _, n := range []int{300, 3000, len(loaded.Rules)} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			s := match.Compile(spread(loaded.Rules, n)).NewScratch()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.Match(lines[i])
				if i++; i == len(lines) {
					i = 0
				}
			}
		})
	}
}

// BenchmarkLoad reads the whole corpus from memory, BenchmarkCompile compiles it.
func BenchmarkLoad(b *testing.B) {
	files, _ := corpus(b)
	for b.Loop() {
		collect(b, files, sigma.Options{})
	}
}

func BenchmarkCompile(b *testing.B) {
	_, loaded := corpus(b)
	var m *match.Matcher
	before := heap()
	for b.Loop() {
		m = match.Compile(loaded.Rules)
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
	runtime.KeepAlive(m)
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
