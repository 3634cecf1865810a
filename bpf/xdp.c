//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0

/*
 * The packet filter. For each frame that an interface receives it
 *
 *   1. reads Ethernet, up to two VLAN tags, IPv4 or IPv6 with a bounded walk
 *      over extension headers, and TCP, UDP, ICMP or ICMPv6;
 *   2. looks the source address up: block list first, and, only on a hit, the
 *      allow list, which wins;
 *   3. asks the rules, if there are any and the lists do not drop or allow it;
 *   4. counts it: by protocol, verdict and reason, and in one slot for its
 *      source and one for its destination address and port.
 *
 * The lists are consulted as soon as the whole fixed IP header is there,
 * whatever else is wrong with the packet: a broken packet from a blocked
 * address is dropped, any other is passed to the stack and counted.
 *
 * Nothing here needs more than Linux 5.15.
 *
 * xdp.h is what the program shares with the host, maps.h where that lies. The
 * program is here; what it is made of is in packet.h (the packet at hand), wire.h
 * and parse.h (1), lists.h (2), rules.h (3) and slots.h (4).
 */
#include "rules.h"
#include "parse.h"
#include "slots.h"

/*
 * tally counts the verdict of a packet, and shows it to who captures what is
 * dropped.
 */
static __always_inline void tally(struct xdp_md *ctx, struct cpu_state *cpu, __u32 flags, __u32 bytes, __u64 verdict,
				  __u64 reason)
{
	/* What passed without further ado is the rest of what came. */
	if (!verdict)
		return;
	asm volatile("" : "+r"(verdict));
	if (verdict >= VERDICT_COUNT)
		return;
	add(&cpu->verdicts[verdict], bytes);
	asm volatile("" : "+r"(reason));
	if (verdict == VERDICT_DROP && reason < REASON_COUNT)
		add(&cpu->drops[reason], bytes);
	else if (verdict == VERDICT_WOULD_DROP && reason < REASON_COUNT)
		add(&cpu->would_drops[reason], bytes);
	if ((flags & SETTING_CAPTURE) && verdict >= VERDICT_WOULD_DROP)
		show(ctx, bytes, verdict, reason);
}

/* just_drops tells whether drops4 has the source of a packet with this hash. */
static __always_inline int just_drops(__u32 addr, __u64 hash, __u32 mask)
{
	__u32 key = hash >> 16 & (mask << 1 | 1);
	struct drop_line *line = bpf_map_lookup_elem(&drops4, &key);
	__u64 cell, until = 0;

	if (!line)
		return 0;
#pragma unroll
	for (int i = 0; i < DROP_WAYS; i++) {
		cell = *(volatile __u64 *)&line->cells[i];
		/* All ones if it is this address: a branch would be foreseen as often as not. */
		__s64 same = ((__s64)(__u64)((__u32)cell ^ addr) - 1) >> 63;

		asm volatile("" : "+r"(same));
		until |= cell >> 32 & same;
	}
	return until == ~0U || (until && bpf_ktime_get_coarse_ns() >> DROP_UNIT_SHIFT < until);
}

/*
 * plain4 does everything for most packets: IPv4 without options, not in fragments,
 * with a whole TCP header of a usual kind or a UDP header, of a filter without
 * rules, from a source that no list may hold or that is just dropped. It returns -1,
 * and has done nothing, for any other, which the rest of the program reads from the
 * start. What it does is the same; but it is one straight line, that keeps in
 * registers what the other keeps in a struct packet.
 */
static __always_inline int plain4(struct cpu_state *cpu, __u32 cpu_id, void *data, void *end)
{
	struct ethernet *ethernet = data;
	struct ip4 *h = data + sizeof(*ethernet);
	struct tcp *t = (void *)(h + 1);
	struct udp *u = (void *)(h + 1);
	struct packet p = { .weight = 1 };
	struct counter *protocol;
	__u32 total, flags, len, all = detect;
	__u64 bytes = end - data;

	/* A UDP header with a little behind it is as long. */
	if (unlikely((void *)(t + 1) > end || ethernet->type != bpf_htons(ETHERTYPE_IP4)))
		return -1;
	total = bpf_ntohs(h->total_len);
	flags = in_force.flags;
	if (unlikely(h->version_ihl != 0x45 || (h->fragment & bpf_htons(0x3fff)) || total < sizeof(*h) + sizeof(*t) ||
		     (void *)h + total > end || in_force.rules))
		return -1;
	if (h->protocol == IP_TCP) {
		len = t->offset >> 2 & 60;
		if (unlikely(len < sizeof(*t) || len > total - sizeof(*h)))
			return -1;
		if (all) {
			p.class = tcp_class(t->flags);
			if (unlikely(p.class == CLASS_ODD))
				return -1;
			p.port = bpf_ntohs(t->dst);
		}
		protocol = &cpu->protocols[PROTOCOL_TCP];
	} else if (h->protocol == IP_UDP) {
		len = bpf_ntohs(u->len);
		if (len < sizeof(*u) || len > total - sizeof(*h) || amplifies(bpf_ntohs(u->src)))
			return -1;
		p.class = CLASS_UDP;
		p.port = bpf_ntohs(u->dst);
		protocol = &cpu->protocols[PROTOCOL_UDP];
	} else {
		return -1;
	}

	/* What is plain leaves no note. */
	__builtin_assume(p.class != CLASS_ODD && p.class != CLASS_REFLECT && p.class < CLASS_COUNT);
	p.bytes = bytes;
	p.src.hi = h->src;
	p.dst.hi = h->dst;
	p.hash = scatter(p.src.hi * hash_keys[0]);
	if ((flags & SETTING_NETS4) && may_match_net4(&p))
		return -1;
	if ((flags & SETTING_HOSTS4) && unlikely(may_hold4(p.hash))) {
		if ((flags & (SETTING_SIMULATE | SETTING_ALLOW4 | SETTING_CAPTURE)) ||
		    !just_drops(h->src, p.hash, in_force.hosts4_mask))
			return -1;
		add(protocol, bytes);
		add(&cpu->verdicts[VERDICT_DROP], bytes);
		add(&cpu->drops[REASON_HOST4], bytes);
		p.verdict = VERDICT_DROP;
		p.weight = weigh(cpu, in_force.epoch);
		if (p.weight) {
			__u32 addr = h->src;
			struct entry *e = bpf_map_lookup_elem(&hosts4, &addr);

			if (e)
				__sync_fetch_and_add(&e->hits, p.weight);
			if (all)
				account(&p, cpu, cpu_id, in_force.epoch);
		}
		return XDP_DROP;
	}
	add(protocol, bytes);
	if (all)
		account(&p, cpu, cpu_id, in_force.epoch);
	return XDP_PASS;
}

SEC("xdp")
int ironpost_xdp(struct xdp_md *ctx)
{
	void *cur = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 cpu_id = bpf_get_smp_processor_id();
	struct ethernet *ethernet = cur;
	struct packet p;
	__u64 fault = MALFORMED_NONE;
	__u32 rules;
	int ip = 0, later = 0, done;
	struct cpu_state *cpu;
	__u16 type;

	if (unlikely(cpu_id >= cpu_count))
		return XDP_PASS;
	cpu = state_of(cpu_id);

	done = plain4(cpu, cpu_id, cur, end);
	if (!unlikely(done < 0))
		return done;

	p = (struct packet){
		.bytes = end - cur,
		.class = CLASS_OTHER,
		.protocol = PROTOCOL_UNKNOWN,
	};
	if ((void *)(ethernet + 1) > end) {
		fault = MALFORMED_ETHERNET_SHORT;
		goto parsed;
	}
	type = bpf_ntohs(ethernet->type);
	cur = ethernet + 1;
#pragma unroll
	for (int i = 0; i <= MAX_TAGS; i++) {
		struct vlan *tag = cur;

		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ && type != ETHERTYPE_QINQ_OLD)
			break;
		if (i == MAX_TAGS) {
			add(&cpu->deep_vlan, p.bytes);
			if (in_force.flags & SETTING_DROP_DEEP_VLAN) {
				p.reason = REASON_DEEP_VLAN;
				p.verdict = in_force.flags & SETTING_SIMULATE ? VERDICT_WOULD_DROP : VERDICT_DROP;
			}
			break;
		}
		if ((void *)(tag + 1) > end) {
			fault = MALFORMED_VLAN_SHORT;
			goto parsed;
		}
		type = bpf_ntohs(tag->type);
		cur = tag + 1;
	}

	switch (type) {
	case ETHERTYPE_IP4:
		fault = parse4(&p, cur, end, in_force.flags, &ip, &later);
		break;
	case ETHERTYPE_IP6:
		fault = parse6(ctx, &p, cur, end, in_force.flags, &ip, &later);
		break;
	case ETHERTYPE_ARP:
		p.protocol = PROTOCOL_ARP;
		break;
	default:
		p.protocol = PROTOCOL_NON_IP;
	}

parsed:
	/* Each bound is a test of its own, on the register that is used: of two tests
	 * made into one, verifiers as old as that of Linux 6.1 learn nothing. */
	if (fault) {
		asm volatile("" : "+r"(fault));
		if (fault < MALFORMED_COUNT)
			cpu->malformed[fault]++;
	}
	if (later)
		add(&cpu->fragments, p.bytes);
	if (p.protocol < PROTOCOL_COUNT)
		add(&cpu->protocols[p.protocol], p.bytes);

	/* Read once: it is the half for all of this packet. */
	rules = *(volatile __u32 *)&in_force.rules;
	/* A dry run must not shield from a rule; what the host simulates is final. */
	if (rules && ip && p.verdict != VERDICT_ALLOWED && p.verdict != VERDICT_DROP &&
	    !(p.verdict == VERDICT_WOULD_DROP && (in_force.flags & SETTING_SIMULATE)))
		judge_rules(&p, rules, in_force.flags);

	tally(ctx, cpu, in_force.flags, p.bytes, p.verdict, p.reason);
	if (ip && detect) {
		p.weight = p.verdict == VERDICT_DROP ? weigh(cpu, in_force.epoch) : 1;
		if (p.weight)
			account(&p, cpu, cpu_id, in_force.epoch);
	}
	return p.verdict == VERDICT_DROP ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
