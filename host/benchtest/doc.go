// Package benchtest reports what a benchmark of the whole program measured: a
// table for people, and build/bench/NAME.json for machines, an array of
// {case, metric, value, unit}.
//
//	r := &benchtest.Report{Name: "latency"}
//	r.Add("line appended -> alert shown", "p50", 1.2, "ms")
//	r.Target(t, "line appended -> alert shown", "p99", p99, "ms", p99 <= 100, "<= 100")
//	r.Write(t)
//
// A Report belongs to one goroutine.
package benchtest
