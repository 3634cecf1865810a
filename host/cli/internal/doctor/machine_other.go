//go:build !linux

package doctor

import "runtime"

func writable(string) bool { return true }

// machine says that Ironpost is for Linux.
func machine() []Check {
	return []Check{{
		Name: "kernel", Verdict: Missing, Found: runtime.GOOS, Needed: "everything",
		Mend: "run the host on Linux " + KernelFloor + " or newer; replay, parse and the checks work here",
	}}
}
