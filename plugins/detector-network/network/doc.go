// Package network finds port scans and SYN floods in packet summaries.
//
// The kernel counts packets on their way in and sums them up by source and by
// destination (event.PacketEvent). What the host sends is not seen, so an
// unanswered SYN shows as a SYN that no ACK of the same source follows.
//
// # Rules
//
// port_scan: one source probes at least Config.ScanPorts ports within
// Config.ScanWindow, or Config.SlowScanPorts within Config.SlowScanWindow, and
// fewer than half of its probes are followed by an ACK within a second. A probe is a SYN, or a
// packet with flags that no stack sends. Ports below 1024 count whatever
// reached them (UDP, FIN and ACK scans), because no reply goes there. Replies
// to connections and queries of this host arrive at ephemeral ports, with
// SYN+ACK or in datagrams, and are taken off. So are as many ports as the source
// completed handshakes with in one interval before.
//
// syn_flood: at least Config.FloodRate SYN a second arrive at one address and
// port in Config.FloodIntervals summaries within Config.FloodWindow, and they
// are more than Config.FloodRatio times the ACKs of the same summaries. The
// alert names the destination and no source, because those may be forged.
//
// syn_flood_source: the same for one source, with at least ten SYN for each
// port that it touched; less than that is a scan.
//
// # Windows
//
// Windows are in event time, (t - window, t], where t is the newest summary of
// the same source or destination. Ports are counted exactly: a port belongs to
// the window in which it was last seen. Packet counts are kept in steps of a
// twentieth of the window. A summary older than its window is left out and
// counted (Stats.Late).
//
// An alert is raised by the summary that crosses a bound, which it cites first,
// so that redelivery makes the same alert. For Config.Suppress after it the
// group is silent; if it goes on longer, another alert tells how many summaries
// were held back. Evidence is always forgeable: no handshake was seen.
//
// # Bounds
//
// At most Config.MaxSources sources and Config.MaxDestinations destinations are
// remembered, each with at most 64 ports. Sources seen once give way before
// sources seen again, so that a flood from forged addresses does not push a
// scanner out. What had to go is counted (Stats.Evicted).
//
// # Concurrency
//
// A Detector has no locks; one goroutine at a time may use it, but for Stats.
package network
