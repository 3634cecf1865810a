// Package rail finds the addresses that a host cannot do without: its own, its
// gateways, its resolvers, its time servers, and the peers of the SSH sessions
// that are logged in. Who blocks one of them cuts the host off, or its operator
// out.
//
// # Use
//
//	rails, err := rail.System().Find()
//
// Find reads files and never the network, so a name in a configuration file
// (a time server's, usually) yields no rail: only literal addresses do. What
// could be read is returned also beside an error.
//
// # SSH sessions
//
// A connection to the SSH port proves nothing: whoever guesses passwords has
// one. A peer counts when somebody is logged in over it, by any of three signs:
//
//   - a user entry of utmp whose process lives,
//   - a remote session of systemd-logind that is not closing,
//   - a process of sshd that has taken a user's session, which sshd shows in its
//     title ("sshd: alice@pts/0"), and the connection that it holds to a port
//     that something else listens on. This sees sessions without a terminal
//     and needs no service, but the right to look at processes of others.
//
// # Bounds
//
// Routes are read from /proc/net, which shows the main table and the first hop
// of a route with several. Files are read up to 16 MiB, and at most MaxRails
// rails are returned; the error says when more was left out.
//
// A Finder is immutable and safe for concurrent use.
package rail
