package shim

// Name is argv[0] of the shim. Running the host under this name by hand does
// nothing but end with an error: the shim wants its plan on a descriptor.
const Name = "ironpost-sandbox"

// isShim says whether the arguments of this process are those of a shim.
func isShim(args []string) bool {
	return len(args) == 2 && args[0] == Name
}

// Plan is what the host tells the shim, over a pipe.
type Plan struct {
	Args, Env             []string
	UID, GID              uint32
	ReadPaths, WritePaths []string // clean, as PrivateDir is
	PrivateDir            string
	ReadCapability        bool
	Network               bool
	ConnectPorts          []uint16
	BaseRead              bool
	NewProcesses          bool
	LocalConnect          bool
	MaxMemory             uint64
	MaxFiles              uint64
	MaxProcs              uint64
	MaxFileSize           uint64

	// Inherited is how many descriptors follow the three standard ones.
	Inherited int
	// ReportFD and ExeFD are the shim's own, and PrivateFD when it is not 0: the
	// root of the private directory's file system.
	ReportFD, ExeFD, PrivateFD int
	// OwnMounts says that the host may make mounts.
	OwnMounts bool
	// ParentPID is the host, as seen from the host's PID namespace.
	ParentPID int
	// OwnPIDs says that the shim is the first process of a PID namespace.
	OwnPIDs bool
	// Script says that the program starts with "#!": its descriptor then has
	// to stay open for the interpreter.
	Script bool
	// UDPListener says that one of the inherited descriptors is an internet
	// datagram socket.
	UDPListener bool
	// InControlGroup says that a control group bounds the plugin.
	InControlGroup bool
}

// Outcome is what the shim answers. The pipe ends with the execution of the plugin.
type Outcome struct {
	Report Report
	// Failed is what was being done when the start ended; empty if nothing failed.
	Failed string `json:",omitempty"`
	// Errno is the kernel's error of it, or 0.
	Errno int `json:",omitempty"`
	// Detail is the error as text, when there is no errno.
	Detail string `json:",omitempty"`
}
