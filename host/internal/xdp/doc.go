// Package xdp is the packet engine: it attaches the filter of package bpf to a
// network interface, keeps its block and allow lists, and turns what the kernel
// counted into packet events.
//
// # Use
//
//	f, err := xdp.Open(xdp.Config{Interface: "eth0", Simulate: true})
//	...
//	defer f.Close() // a pinned filter goes on; Detach ends it
//	f.Block(netip.MustParsePrefix("203.0.113.0/24"), time.Hour, ruleID)
//	err = f.Run(ctx, func(events []event.PacketEvent) error { ... })
//
// A Filter serves one interface. Several may be open at once; their lists are
// apart.
//
// # Verdict
//
// A packet is judged by its source address. Among the live entries of the block
// list that contain it the one with the longest prefix decides, unless any entry
// of the allow list contains the address: then the packet passes. An expired entry
// decides nothing from its last instant on, whether or not it has been removed
// yet. Broken packets are counted by reason; they are judged like others as soon as
// their fixed IP header is whole, and passed to the network stack otherwise.
//
// Most packets need no look into the lists: tables beside them, which fit the
// processor's caches, say that no entry can match, or that the address is just
// dropped. They follow the lists at once where a verdict depends on it, and are made
// for the length of the lists within a second.
//
// What the block list lets pass - it holds no entry, or one that monitors, limits
// or is a dry run - the rules judge (Filter.SetRules), of which there are few and
// which can say more than a source: destination, protocol, ports. Of the live rules
// that match, the first in their order decides; a dry run counts, and the next
// decides. The allow list wins over rules too.
//
// A rule matches what it can see. A later fragment has no ports and no TCP flags:
// rules that name ports or tcp-syn do not match it, those of its protocol do. The
// first fragment is judged by its ports, and without it nothing is put together. A
// TCP header that is broken behind its ports, as in a first fragment that is too
// short, counts as a SYN with those ports. Behind more IPv6 extension headers than
// are followed nothing can be seen: there a rule matches by its addresses alone,
// whatever else it names. Other broken packets match by addresses and by the
// protocol that they are counted under.
//
// # Limits
//
// A limit is a bucket for each source, an IPv4 address or an IPv6 /64, that holds
// the burst and is filled at the rate; each rule has buckets of its own, and so has
// each rate and burst. The kernel fills buckets by its coarse clock, which steps by
// up to 10 ms: a burst is never smaller than what the rate brings within that (see
// MinBurst), so the rate is kept on the average and not within a step. The buckets
// that are not full lie in one table for all processors (Config.LimitSlots). A full
// one gives way to another source's, one in use never does: a source that finds no
// place among four passes and is counted (Stats.LimitMissed). Buckets are
// forgotten when maps of another schema are made.
//
// # Events
//
// No event is made per packet. The kernel keeps, per processor, a table of
// sources and one of destinations and ports; every flush interval Run swaps the
// halves of the tables and emits one event for each slot that was used, merged
// over processors. The tables are bounded, so a flood gives no more events than
// they have slots. What finds no slot is counted (Stats.Sources,
// Stats.Destinations), and the totals by protocol and verdict count every packet.
// When the tables swap, a processor that was in the middle of a packet has
// Config's settle time to finish it; the table is not read before. When traffic
// sets in, the next few intervals are half as long, so that a flood is seen sooner.
//
// Of packets that are dropped, each processor counts 1,024 in an interval one by
// one, and of the rest every sixteenth for sixteen: in slots, and as hits of an
// entry of one IPv4 address. A flood of what is blocked anyway takes neither time
// nor slots from the rest then. Verdicts and reasons (Stats) are counted to the
// packet.
//
// Run hands events to emit in order and waits for it. While emit blocks, the
// kernel goes on counting into the other half: intervals become longer, and no
// packet is lost to them.
//
// # Life
//
// With Config.PinDir maps and link are pinned in a bpffs, in
//
//	PIN-DIR/INTERFACE@NETWORK-NAMESPACE@OWNER/SCHEMA/
//
// where the owner is Config's, and the schema names the layout and the sizes of
// the maps. The filter goes on when the process closes it or dies. Open takes a
// filter over that the same owner pinned, and meets that of another with a
// BusyError. To take it over, the program is replaced by an update of the link,
// which no packet can slip past. If
// the schema is another, new maps are made, filled from the pinned lists, and
// only then does the link lead to them. A process that is killed at any point of
// this leaves a link with maps whose lists are whole; what else it left is
// removed by the next.
//
// Variables of the program are not pinned: what has to outlive it is in a map.
// A new list, or a new field of an entry or a rule, moves with the others once it is in
// copyLists. What changes the meaning of the maps' content and not its layout
// has to raise the constant meaning.
//
// # Concurrency
//
// All methods may be called from any goroutine, Run from one at a time. Close
// and Detach make Run return, wait until no call is using the maps, and may be
// called again. A directory of an interface's pins is locked by the process that
// has its filter.
//
// The engine needs Linux 5.15 on a 64-bit little-endian machine. Elsewhere Open
// returns ErrUnsupported.
package xdp
