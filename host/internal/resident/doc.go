// Package resident tells who lives behind an address of this machine: the
// process that listens there, its container, and its network namespace.
//
// # Use
//
//	finder := resident.System()
//	answer, err := finder.Behind(resident.Endpoint{Addr: addr, Port: 8080, Protocols: resident.TCP})
//	answer, err := finder.Process(812, "sshd", at)
//
// It reads /proc and the table of connections of the kernel, and asks no container
// engine. It needs to see the processes of others: root, or CAP_SYS_PTRACE and
// CAP_DAC_READ_SEARCH; and CAP_NET_ADMIN for the table of connections.
//
// # What is found
//
//   - An address of the own network namespace (that of the calling thread) and a
//     port: who holds the listening TCP sockets or the bound UDP sockets that the
//     kernel would hand such a packet to. What the table of connections shows to be
//     translated (published ports of Docker, of Kubernetes, of any DNAT) leads to
//     where it is translated to, and so does a docker-proxy of root's.
//   - An address of another network namespace: who holds that socket there; and the
//     containers of all processes of that namespace where no port is known or
//     nobody listens on it.
//   - A process by its number: what it is, when it is older than what is told of it
//     and has the name that is told.
//
// # What is not
//
// Established connections, and ports that a process uses as a client, are not looked
// up, nor are sockets held by a process of another network namespace. Without a
// docker-proxy, a published port shows only while the kernel remembers a connection to
// it. Processes that the own PID namespace does not show are not seen. A wildcard
// socket of IPv6 counts for IPv4 too where nothing else listens, since /proc does not
// tell whether it is for IPv6 alone.
//
// # Doubt
//
// Everybody found is told, up to MaxShown, and Answer.Ambiguous says that they are
// not the same: several programs or containers on a port, a namespace that
// containers share. A process that was replaced by another under its number
// while it was looked at is left out. The id of a container is what the kernel says
// of the control group; below a user's own part of that tree any name may be
// made up, so Container.Delegate names that user.
//
// # Bounds
//
// A call works for at most MaxWork, and all calls of a kind together for a fiftieth
// of the time, after a burst; past that they return ErrBudget or ErrBusy at once. What was
// found is good for maxAge. Of a process the first 4096 descriptors are looked at.
//
// A Finder is safe for concurrent use. It starts no goroutine.
package resident
