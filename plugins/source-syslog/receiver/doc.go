// Package receiver takes syslog off the sockets that the host bound and emits
// one record a message.
//
// # Streams
//
// A sender is its address: each has one stream per listener, named by both, with
// the address as Peer and the provenance network, because nothing proves who
// sent a message. The connections of one address share its stream.
//
// # UDP
//
// A datagram is a message. Its sender may be forged, so that Peer reads
// "udp:ADDRESS", which no answer takes for an address. Datagrams cannot wait: what the host does not take at
// once is dropped and counted, and so is what the kernel dropped before it was
// read (kernel_udp, from SO_RXQ_OVFL, on Linux). At most 1,024 senders per
// listener have a stream of their own; the one that was silent longest makes
// room, if it was silent for ten seconds. Beyond that (a flood of forged
// addresses) messages go to a shared stream without Peer, so that forged senders
// open no streams and close no others.
//
// # TCP
//
// Both framings of RFC 6587 are read, see package framing. A connection is read
// only as fast as the host takes its records. It is closed when its framing
// makes no sense, when a frame that has begun is not complete within
// frame_timeout, and when it was silent for idle_timeout; each is counted. Beyond
// max_clients and max_clients_per_address the connection that was silent longest
// makes room, if it was silent for ten seconds; else the new one is closed at
// once. Both are counted.
package receiver
