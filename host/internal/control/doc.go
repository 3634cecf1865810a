// Package control is the API of a running host on its Unix socket, both ends
// of it: Server for the host, Client for the command line.
//
// # Who may do what
//
// The kernel names the process at the other end (SO_PEERCRED, SO_PEERGROUPS);
// handlers find it with CallerFrom. Whoever can open the socket may read: it
// has mode 0660 and belongs to the control group. To change something a caller
// needs to be root, the host's own user, or a member of the control group.
// Every attempt to change something, the refused ones too, goes to
// Config.Audit.
//
// # Wiring
//
// The host gives a Backend: a set of small interfaces, one for each thing that
// the API can be asked about. A part that is nil answers ErrNotSupported.
//
//	server, err := control.Listen(ctx, control.Config{Socket: path, Backend: backend})
//	...
//	err = server.Run(ctx) // until ctx ends
//
// # Errors
//
// The sentinels of this package survive the wire: what a Backend returns
// wrapped around ErrNotFound is ErrNotFound again at the client, with the same
// words.
//
// # Back-pressure
//
// Tails are bounded per reader (Config.TailBytes): a reader that is slower than
// the stream loses records, is told how many, and they are counted
// (Server.TailDropped). It never slows the host. Queries are the reverse: the
// store waits for the reader.
//
// # Concurrency
//
// A Server and a Client may be used by any number of goroutines. The methods of
// a Backend are called concurrently.
package control
