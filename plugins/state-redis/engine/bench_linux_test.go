package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/redistest"
	"github.com/ironpost/ironpost/sdk"
)

// usage is what a server says of itself.
type usage struct{ cpu, calls, in, out, memory float64 }

var figure = regexp.MustCompile(`(?m)^(used_cpu_user|used_cpu_sys|total_commands_processed|total_net_input_bytes|total_net_output_bytes|used_memory):([0-9.]+)`)

func measure(b *testing.B, s *redistest.Server) usage {
	b.Helper()
	v := make(map[string]float64)
	for _, m := range figure.FindAllStringSubmatch(strings.ReplaceAll(s.CLI(b, "INFO"), "\r", ""), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			b.Fatal(err)
		}
		v[m[1]] = n
	}
	return usage{v["used_cpu_user"] + v["used_cpu_sys"], v["total_commands_processed"], v["total_net_input_bytes"], v["total_net_output_bytes"], v["used_memory"]}
}

// report says what one of n cost the server.
func report(b *testing.B, before, after usage, n int) {
	per := func(x float64) float64 { return x / float64(n) }
	b.ReportMetric(1e6*per(after.cpu-before.cpu), "redis-us/op")
	b.ReportMetric(per(after.in-before.in), "B-to-redis/op")
	b.ReportMetric(per(after.out-before.out), "B-from-redis/op")
}

// BenchmarkApply measures operations, one and 64 in a call; the round trips are one a call.
func BenchmarkApply(b *testing.B) {
	value := func(i, threshold int) sdk.SharedOperation {
		op := window("v"+strconv.Itoa(i%1000), i, threshold)
		op.Window.Value = []byte("value-" + strconv.Itoa(i/1000))
		return op
	}
	for _, kind := range []struct {
		name string
		make func(i int) sdk.SharedOperation
	}{
		{"window of 5", func(i int) sdk.SharedOperation { return window("w"+strconv.Itoa(i%1000), i, 5) }},
		{"window of 100", func(i int) sdk.SharedOperation { return window("l"+strconv.Itoa(i%1000), i, 100) }},
		{"values of 5", func(i int) sdk.SharedOperation { return value(i, 5) }},
		{"counter", func(i int) sdk.SharedOperation {
			return sdk.SharedOperation{Key: "n" + strconv.Itoa(i%1000), Span: time.Hour, Counter: &sdk.CounterAdd{Amount: 1, Limit: 100}}
		}},
		{"claim", func(i int) sdk.SharedOperation {
			return sdk.SharedOperation{Key: "c" + strconv.Itoa(i), Span: time.Minute, Claim: &sdk.Claim{Owner: []byte("event-0000000001")}}
		}},
	} {
		for _, size := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				s := redistest.Start(b, redistest.Config{})
				e := connect(b, s, Config{})
				apply(b, e, window("first", 0, 2))
				ops := make([]sdk.SharedOperation, size)
				i := 0
				before := measure(b, s)
				b.ReportAllocs()
				for b.Loop() {
					for k := range ops {
						ops[k] = kind.make(i)
						i++
					}
					if _, err := e.Apply(b.Context(), ops); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				report(b, before, measure(b, s), i)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/float64(i), "us/op")
			})
		}
	}
}

// BenchmarkMemory measures what keys take, with everything that belongs to them.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []struct {
		name string
		fill func(e *Engine, n int)
	}{
		{"window of 1", func(e *Engine, n int) { fill(b, e, n, 1, 5) }},
		{"window of 4", func(e *Engine, n int) { fill(b, e, n, 4, 5) }},
		{"window of 99", func(e *Engine, n int) { fill(b, e, n/10, 99, 100) }},
		{"window complete at 5", func(e *Engine, n int) { fill(b, e, n, 5, 5) }},
		{"decision", func(e *Engine, n int) {
			for i := range n {
				d := decision(fmt.Sprintf("decision-%016d", i), time.Hour)
				d.Reason, d.AlertID = "8 failed logins within 1m0s by root and others", "0123456789abcdef0123456789abcdef"
				share(b, e, []sdk.Decision{d})
			}
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				s := redistest.Start(b, redistest.Config{})
				e := connect(b, s, Config{})
				apply(b, e, window("first", 0, 2))
				before := measure(b, s)
				const n = 10000
				kind.fill(e, n)
				after := measure(b, s)
				keys, err := strconv.Atoi(s.CLI(b, "DBSIZE"))
				if err != nil {
					b.Fatal(err)
				}
				each := n
				if kind.name == "window of 99" {
					each = n / 10
				}
				b.ReportMetric((after.memory-before.memory)/float64(each), "B/each")
				b.ReportMetric(float64(keys)/float64(each), "keys/each")
			}
		})
	}
}

// fill adds events to each of n windows.
func fill(b *testing.B, e *Engine, n, events, threshold int) {
	b.Helper()
	for event := range events {
		for begin := 0; begin < n; begin += 200 {
			ops := make([]sdk.SharedOperation, 0, 200)
			for i := begin; i < min(begin+200, n); i++ {
				ops = append(ops, window("w"+strconv.Itoa(i), event, threshold))
			}
			apply(b, e, ops...)
		}
	}
}

// BenchmarkDecision measures a decision from Share to ten followers.
func BenchmarkDecision(b *testing.B) {
	s := redistest.Start(b, redistest.Config{})
	e := connect(b, s, Config{})
	listeners := make([]*listener, 10)
	for i := range listeners {
		l := listen(b, e)
		l.wait(b, "current", func() bool { return len(l.generations) == 1 })
		listeners[i] = l
	}
	before := measure(b, s)
	n := 0
	var longest time.Duration
	for b.Loop() {
		id := "d" + strconv.Itoa(n)
		n++
		began := time.Now()
		share(b, e, []sdk.Decision{decision(id, time.Hour)})
		for _, l := range listeners {
			l.knows(b, id)
		}
		longest = max(longest, time.Since(began))
	}
	b.StopTimer()
	report(b, before, measure(b, s), n)
	b.ReportMetric(float64(longest.Microseconds())/1e3, "longest-ms")
}
