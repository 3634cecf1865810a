package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// leanHeap is what the memory of Go may come to before garbage is collected, as long as
// little of it is in use: a scan lets go of nearly all that it takes.
const leanHeap = 32 << 20

// collectLean has garbage collected when memory comes to leanHeap, or to half as much
// again as is in use, in place of each time that the heap has doubled. A heap of a few
// megabytes doubles dozens of times in one scan; collected this way it is smaller at its
// largest, and takes half the processor time. What the environment says about
// collections (GOGC, GOMEMLIMIT) holds.
var collectLean = sync.OnceFunc(func() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(-1)
	followHeap()
})

// followHeap sets the limit by what the last collection left, and does so again after
// the next.
func followHeap() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	// 12 MiB are for what is not heap, and for holes.
	debug.SetMemoryLimit(max(leanHeap, int64(live[0].Value.Uint64())*3/2+12<<20)) //nolint:gosec // no heap is that large
	runtime.AddCleanup(new([64]byte), func(int) { followHeap() }, 0)
}
