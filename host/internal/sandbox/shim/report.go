package shim

// Protection names one thing that confines a plugin. The values are stable
// and are shown to people.
type Protection string

// The protections that a Report speaks of.
const (
	OwnUser          Protection = "own user"
	NoCapabilities   Protection = "no capabilities"
	ReadCapability   Protection = "read capability confined to granted paths"
	NoNewPrivileges  Protection = "no new privileges"
	FileAccess       Protection = "file access limited to granted paths"
	TruncateAccess   Protection = "truncation limited to granted paths"
	DeviceControl    Protection = "device control denied"
	NetworkNamespace Protection = "own empty network namespace"
	IPCNamespace     Protection = "own IPC namespace"
	PIDNamespace     Protection = "children die with the plugin"
	TCPAccess        Protection = "TCP limited to granted ports"
	Destinations     Protection = "connections limited to granted addresses"
	UDPAccess        Protection = "UDP sending denied"
	UDPReplies       Protection = "sending through passed UDP listeners denied"
	LocalSockets     Protection = "local sockets of others out of reach"
	AbstractSockets  Protection = "abstract sockets of others out of reach"
	Signals          Protection = "signals to other processes denied"
	SystemCalls      Protection = "system call filter"
	PrivateSpace     Protection = "bounded private directory of its own"
	FileTree         Protection = "file tree without anything that was not granted"
	DiskSpace        Protection = "disk space limit on granted write paths"
	MemoryLimit      Protection = "memory limit"
	MemoryVictim     Protection = "first to be ended when memory runs out"
	ControlGroup     Protection = "control group limits on memory, processes and CPU"
	ProcessLimit     Protection = "process limit"
	FileLimit        Protection = "descriptor and file size limits"
	ParentDeath      Protection = "dies with the host"
)

// Missing is a protection that could not be applied, or a granted path that could not be granted, and why.
type Missing struct {
	What Protection `json:"what"`
	Why  string     `json:"why"`
}

// Report tells what confines a running plugin.
type Report struct {
	// Applied are in force.
	Applied []Protection `json:"applied"`
	// Missing were wanted and cannot be had on this kernel or with this host's privileges.
	Missing []Missing `json:"missing"`
	// Absent are granted paths that could not be granted, because they do not
	// exist at this moment. What is the path.
	Absent []Missing `json:"absent"`
}

// Apply notes that p is in force.
func (r *Report) Apply(p Protection) { r.Applied = append(r.Applied, p) }

// Miss notes that p is not in force, and why.
func (r *Report) Miss(p Protection, why string) { r.Missing = append(r.Missing, Missing{p, why}) }
