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
// read (kernel_udp, from SO_RXQ_OVFL, and every ten seconds from SO_MEMINFO, on
// Linux). At most 1,024 senders per
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
//
// # TLS
//
// A tls:// address is read as a TCP one, within TLS 1.2 or 1.3; a handshake has
// frame_timeout. The host reads and watches certificate, key and authorities and
// hands them over as bundles, so that renewed files are in force for the next
// connection; a pair that does not fit leaves the one before in force. With
// tls_client_ca only senders with a certificate of these authorities are taken
// (with tls_client_auth "optional" also those without any), and the stream's name
// ends with the name in the certificate. Without a certificate in force
// connections are closed and counted (tls_not_ready): never is anything read in
// the clear from such an address.
//
// # Rates
//
// max_messages and max_bytes bound each address, with bursts of a second's worth.
// A connection that sends more has to wait (tcp_messages_delayed); a datagram
// beyond them is dropped (rate_limited). The shared stream of UDP senders without
// one of their own has no such bound.
package receiver
