// Package network finds scans, floods and other attacks in packet summaries.
//
// The kernel counts packets on their way in and sums them up by source and by
// destination (event.PacketEvent). What the host sends is not seen, so an
// unanswered SYN shows as a SYN that no ACK of the same source follows.
//
// # Rules
//
// port_scan: one source probes at least Config.ScanPorts ports within
// Config.ScanWindow, or Config.SlowScanPorts within Config.SlowScanWindow, and
// fewer than half of its probes are followed by an ACK within a second. A probe
// is a SYN, or a packet with flags that no stack sends. Ports below 1024 count
// whatever reached them (UDP, FIN and ACK scans), because no reply goes there,
// but for five seconds after a SYN of the same source. Replies to connections and
// queries of this host arrive at ephemeral ports, with SYN+ACK or in datagrams,
// and are taken off. So are as many ports as the source completed handshakes with
// in one interval before. Who probes mostly ports that are known to listen (see
// new_listener) looks for services that are away, as while they are deployed: then
// those ports do not count. Sources that probe the same address at the same time
// are one attack: at most one of them is real, so the alert names the address and
// no source.
//
// address_sweep: one source sends echo requests or SYNs to at least
// Config.SweepAddresses addresses within Config.SweepWindow, and fewer ACKs.
//
// syn_flood: at least Config.FloodRate SYN a second arrive at one address and
// port in Config.FloodIntervals summaries within Config.FloodWindow, and they
// are more than Config.FloodRatio times the ACKs of the same summaries; or
// Config.SlowFloodRate all through Config.SlowFloodWindow (in 16 of its 20 steps).
// The alert names the destination and no source, because those may be forged.
// udp_flood and icmp_flood likewise; datagrams count when frames have 300 bytes
// or less on average, and do not come from ports of services that amplify.
//
// syn_flood_source, udp_flood_source, icmp_flood_source: the same for one source,
// a SYN flood with at least ten SYN for each port and address that it touched;
// less is a scan. When one source explains four fifths of what reaches a
// destination, it has the alert; when several do, the destination has.
//
// udp_amplification: at least Config.AmplificationRate bytes a second in frames of
// 250 bytes or more on average reach one address from ports of services that
// amplify (DNS, NTP, SSDP, memcached, ...).
//
// brute_force: one source opens and closes at least Config.LoginRate connections
// to one of Config.LoginPorts within Config.LoginWindow, each with little in it but
// more than a handshake, which is all that a check of health sends, or
// Config.DatabaseRate to one of Config.DatabasePorts; all sources together five
// times as many, less those of sources that have an alert for them. Of one source,
// only summaries count in which it sent to that port alone.
//
// new_listener: a local port up to Config.ListenerMaxPort that was never seen to
// answer gets a SYN and at least twice as many segments with ACK within ten
// seconds, or three handshakes with nothing behind them, as of checks of health. A
// scanner comes once, and sends one segment with ACK at the most. To learn a port
// a SYN that is followed by an ACK or a RST is enough. Ten are told in an hour; the others
// are told when somebody comes again in a later one.
//
// # Bounds of rates
//
// A rate of Config is a floor. The bound in force is Config.BaselineFactor times
// what is usual on the interface: the 95 % quantile of the peaks of its minutes,
// which lose half of their weight in six hours, once 30 minutes are known; at most
// Config.BaselineCap times the floor. A minute in which a bound was reached, and
// the next one, is not learned, so that an attack does not become usual. For the
// first 35 minutes of an interface logins have ten times their bound.
//
// Numbers of ports and addresses do not grow with traffic, and their bounds stay.
//
// # Windows
//
// Windows are in event time, (t - window, t], where t is the newest summary of
// the same source or destination. Ports are counted exactly: a port belongs to
// the window in which it was last seen. Packet counts are kept in steps of a
// twentieth of the window. A summary older than its window is left out and
// counted (Stats.Late).
//
// # Alerts
//
// An alert is raised by the summary that crosses a bound, which it cites first,
// so that redelivery makes the same alert. A scan and a flood of one source wait
// for the other summaries of the same interval, which may show that they are a
// part of something else: until a summary of another interval comes, or Flush is
// called. After an alert its group is silent until Config.Suppress has passed
// without another crossing, or the window of a slow rule where that is longer;
// an attack that goes on raises another alert every Config.Remind, which tells how
// many crossings were held back. Details give what was observed, the bound, what is
// usual, the window and the confidence. Evidence is always forgeable: no summary
// proves that a handshake was completed.
//
// # Bounds of memory
//
// At most Config.MaxSources sources, Config.MaxDestinations destinations, as many
// pairs of a source and a login port, and Config.MaxListeners listeners are
// remembered. A group takes at most 9 KiB: 64 ports and 64 addresses, 20 steps a
// window, eight surges of each kind of flood. Groups seen once give way before
// groups seen again, so that a flood from forged addresses does not push a
// scanner out; and unknown sources that send one SYN to a port under flood are not
// remembered at all. What had to go is counted (Stats.Evicted). 64 interfaces have
// a baseline of 6 KiB each.
//
// # Concurrency
//
// A Detector has no locks; one goroutine at a time may use it, but for Stats.
package network
