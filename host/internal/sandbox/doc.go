// Package sandbox starts one plugin process, confined by the kernel to what
// the plugin declared and the operator granted.
//
// # How a plugin is started
//
// The host re-executes its own binary as a shim, which does nothing but give
// things up and then becomes the plugin:
//
//	host thread ──fork──> shim ──own namespaces and mounts, own file tree,
//	                      own user, no capabilities, parent-death signal,
//	                      no_new_privs, Landlock, limits, seccomp
//	                      ──execveat(descriptor)──> plugin
//
// A program that imports this package is such a shim when it is started under the
// name that [Launcher] uses: it becomes the plugin while its packages are still being
// initialised, so that nothing else of the host ever runs in a shim.
//
// What is executed is the open file [Spec.Exe], never a path, so the bytes that
// were hashed are the bytes that run. Nothing is inherited but what the Spec
// names: not the environment, not descriptors, not the terminal, not the
// working directory.
//
// # What is promised
//
// Each protection that could be put in place is in [Report.Applied], each that
// this kernel or this host's own privileges do not allow is in
// [Report.Missing] with the reason. A protection that should have worked and did
// not ends the start with an error: no plugin runs with less than its Report says.
//
// A plugin dies with the host, also when the host is killed with SIGKILL: the
// kernel sends the parent-death signal when the thread that forked it ends. A
// [Launcher] therefore forks from one thread of its own that lives until
// [Launcher.Close], and the plugin cannot disarm the signal. A host that is
// not root cannot reach the children of a plugin with [Spec.NewProcesses] that
// way (root gives such a plugin its own PID namespace); Missing says so.
//
// # Network
//
// Without [Spec.Network] a plugin has an empty network namespace, may create
// only local stream sockets (what it needs to serve the host), may not connect
// and may not send to an address. Descriptors in [Spec.Files], such as sockets
// from [Listen], keep working: they belong to the network namespace they were bound in.
// The host dials the plugin's socket; the plugin never dials the host.
//
// # Files
//
// Where the host may make mounts, a plugin without Network has a file tree of its
// own that holds the granted paths and its private directory and nothing else,
// and the private directory is a small file system in memory that ends with the
// process. The host reaches what lies in it by [Process.Reach]. Landlock decides
// in either case what may be opened.
//
// # Memory and processes
//
// Resource limits bound each process. With [Launcher.Cgroups] a control group of
// version 2 bounds all processes of a plugin together, which are born in it.
//
// # Concurrency
//
// All methods of [Launcher] and [Process] may be called from several
// goroutines at once. The sandbox needs Linux on amd64 or arm64; elsewhere
// everything compiles and Start returns [ErrUnsupported].
package sandbox
