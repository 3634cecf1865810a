package doctor

// capSysPtrace is the number of a capability, from include/uapi/linux/capability.h.
const capSysPtrace = 19

// processes judges whether a set of effective capabilities lets the host look at
// the processes of others: their sockets, network namespaces and control groups.
func processes(set uint64) Check {
	c := Check{
		Name: "processes", Verdict: OK, Found: "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
		Needed: "naming the process and the container behind an address in alerts",
	}
	if set>>capSysPtrace&1 == 0 || set>>capDACReadSearch&1 == 0 {
		c.Verdict, c.Found = Warn, "no CAP_SYS_PTRACE or no CAP_DAC_READ_SEARCH"
		c.Mend = "run as root, or grant AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH in the systemd unit"
	}
	return c
}
