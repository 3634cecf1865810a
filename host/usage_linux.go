package host

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"syscall"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// usage fills in what the host's own process used.
func usage(r *pb.StatusResponse) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		r.CpuSeconds = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			pages, _ := strconv.ParseUint(string(f[1]), 10, 64) // the kernel wrote it
			r.RssBytes = pages * uint64(os.Getpagesize())
		}
	}
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	if s[0].Value.Kind() == metrics.KindUint64 {
		r.HeapObjectsAllocated = s[0].Value.Uint64()
	}
}
