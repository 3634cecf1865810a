// Package stages measures the parser and the rules, each alone, on the lines of
// the benchmark of the whole pipeline:
//
//	go test -bench . ./cmd/ironpost/testdata/bench/stages
package stages

import (
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/lines"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
)

// count is how many lines are parsed over and over: too many for the processor
// to learn their order by heart.
const count = 1 << 14

// BenchmarkParse parses records one after the other in one block of memory, as
// they lie in a batch; ns/op is per record.
func BenchmarkParse(b *testing.B) {
	for name, attack := range map[string]bool{"ordinary": false, "attack": true} {
		b.Run(name, func(b *testing.B) {
			log := lines.New(attack)
			var block []byte
			ends := make([]int, 0, count)
			for range count {
				block = append(block, log.Next()...)
				ends = append(ends, len(block))
			}
			var parser syslog.Parser
			var out event.LogEvent
			raw := event.RawLog{
				Stream:       &event.Stream{ID: 1, Name: "bench", Format: "syslog", Provenance: event.ProvenanceHost},
				ObservedTime: time.Now(),
			}
			i, start := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				raw.Line = block[start:ends[i]:ends[i]]
				if start = ends[i]; i+1 < count {
					i++
				} else {
					i, start = 0, 0
				}
				out.Reset()
				if err := parser.Parse(raw, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
