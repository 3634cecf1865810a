/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* The verdict of the block and the allow list on the source of a packet, and limits. */
#ifndef IRONPOST_LISTS_H
#define IRONPOST_LISTS_H

#include "packet.h"

/* MAX_NESTED is how many expired prefixes around an address are looked past. */
#define MAX_NESTED 8

static __always_inline int alive(const struct entry *e)
{
	return !e->expires || bpf_ktime_get_coarse_ns() < e->expires;
}

/*
 * The functions without static are verified once, on their own, for any
 * argument; inlined, they would multiply the states of the parser.
 */

/*
 * within_limit takes a packet out of its source's bucket, which holds burst
 * packets and is filled with rate a second, and tells whether it was there to be
 * taken. The source of an IPv6 packet is its /64. Limits with another rate, burst
 * or salt have buckets of their own.
 *
 * A bucket is one number, the time at which it will be full (the generic cell
 * rate algorithm, ITU-T I.371, as virtual scheduling). The clock stands still
 * between ticks, of up to 10 ms: the host gives no burst that is smaller than
 * what the rate brings within one. A bucket that is full is forgotten as soon as
 * another source needs its place; one that is not keeps it, and who finds no
 * place passes and is counted.
 */
__noinline int within_limit(struct packet *p, __u32 rate, __u32 burst, __u32 salt)
{
	__u32 cpu_id = bpf_get_smp_processor_id(), line_id, tag, way = LIMIT_WAYS;
	__u64 now = bpf_ktime_get_coarse_ns(), hash, step, latest, full;
	struct limit_line *line;
	struct cpu_state *cpu;

	if (!p || cpu_id >= cpu_count || !rate || !burst)
		return 1;
	cpu = state_of(cpu_id);
	hash = mix(mix(p->src.hi) ^ mix((__u64)salt << 1 | (p->six & 1)) ^ ((__u64)rate << 32 | burst));
	line_id = hash & (limit_lines - 1);
	line = bpf_map_lookup_elem(&limits, &line_id);
	if (!line)
		return 1;
	tag = hash >> 32;
	step = 1000000000ULL / rate;
	/* The bucket has a packet if it will be full by then. */
	latest = now + step * (burst - 1);

	/* Most of a flood is over its limit: it reads, and waits for nobody. */
#pragma unroll
	for (int i = 0; i < LIMIT_WAYS; i++)
		if (line->tags[i] == tag && line->full[i] > latest)
			return 0;

	bpf_spin_lock(&line->lock);
#pragma unroll
	for (int i = LIMIT_WAYS - 1; i >= 0; i--)
		if (line->full[i] <= now)
			way = i;
#pragma unroll
	for (int i = 0; i < LIMIT_WAYS; i++)
		if (line->tags[i] == tag)
			way = i;
	if (way >= LIMIT_WAYS) {
		bpf_spin_unlock(&line->lock);
		add(&cpu->limit_missed, p->bytes);
		return 1;
	}
	full = now;
	if (line->tags[way & (LIMIT_WAYS - 1)] == tag && line->full[way & (LIMIT_WAYS - 1)] > now)
		full = line->full[way & (LIMIT_WAYS - 1)];
	if (full > latest) {
		bpf_spin_unlock(&line->lock);
		return 0;
	}
	line->tags[way & (LIMIT_WAYS - 1)] = tag;
	line->full[way & (LIMIT_WAYS - 1)] = full + step;
	bpf_spin_unlock(&line->lock);
	add(&cpu->limited, p->bytes);
	return 1;
}

/* decide gives the verdict of an entry that matched and is not overridden. */
static __always_inline void decide(struct packet *p, struct entry *e, __u32 flags, __u32 reason)
{
	__sync_fetch_and_add(&e->hits, 1);
	p->reason = reason;
	if (e->action != ACTION_DROP) {
		if (e->action != ACTION_LIMIT)
			p->verdict = VERDICT_MONITORED;
		if (e->action != ACTION_LIMIT || within_limit(p, e->rate, e->burst, 0)) {
			__sync_fetch_and_add(&e->passes, 1);
			return;
		}
		p->reason = REASON_LIMIT;
	}
	p->verdict = VERDICT_DROP;
	if ((flags & SETTING_SIMULATE) || (e->flags & ENTRY_DRY_RUN)) {
		__sync_fetch_and_add(&e->would_drops, 1);
		p->verdict = VERDICT_WOULD_DROP;
	}
}

/* search4 looks the source up whose filter bits are given. */
__noinline int search4(struct packet *p, __u32 bits, __u32 flags)
{
	__u32 addr, reason = REASON_HOST4;
	struct entry *e = 0;
	struct lpm4 net = {};

	if (!p)
		return 0;
	addr = (__u32)p->src.hi;
	if (bits & FILTER_HOST) {
		e = bpf_map_lookup_elem(&hosts4, &addr);
		if (e && !alive(e))
			e = 0;
	}
	if (!e && (bits & FILTER_NET)) {
		reason = REASON_NET4;
		net.prefix_len = 32;
		net.addr = addr;
		for (int i = 0; i < MAX_NESTED; i++) {
			e = bpf_map_lookup_elem(&nets4, &net);
			if (!e || alive(e))
				break;
			/* Expired, not yet collected: the next wider one decides. */
			net.prefix_len = e->prefix_len - 1;
			e = 0;
			if (net.prefix_len > 32)
				break;
		}
	}
	if (!e)
		return 0;

	net.prefix_len = 32;
	net.addr = addr;
	if ((flags & SETTING_ALLOW4) && bpf_map_lookup_elem(&allow4, &net))
		p->verdict = VERDICT_ALLOWED;
	else
		decide(p, e, flags, reason);
	return 0;
}

/* has_bits tells whether a word of a host filter has the two bits of a hash. */
static __always_inline int has_bits(__u64 word, __u64 hash)
{
	return (word >> (hash >> 58)) & (word >> (hash >> 52 & 63)) & 1;
}

/* may_hold4 asks the host filter for the hash of an IPv4 address. */
static __always_inline int may_hold4(__u64 hash)
{
	return has_bits(BEHIND(words4)[hash >> 16 & in_force.hosts4_mask & (host_words4 - 1)], hash);
}

/* may_hold6 asks the host filter for the hash of an IPv6 address or of a /64. */
static __always_inline int may_hold6(__u64 hash)
{
	return has_bits(BEHIND(words6)[hash >> 16 & in_force.hosts6_mask & (host_words6 - 1)], hash);
}

static __always_inline int may_match_net4(struct packet *p)
{
	__u32 host = bpf_ntohl((__u32)p->src.hi), key = host >> 22;
	struct filter_line *line;
	__u64 *word;

	word = bpf_map_lookup_elem(&filter16, &key);
	if (!word || !(*word >> ((host >> 16) & 63) & 1))
		return 0;
	key = host >> 16;
	line = bpf_map_lookup_elem(&filter24, &key);
	return line && line->words[(host >> 14) & 3] >> ((host >> 8) & 63) & 1;
}

static __always_inline void judge4(struct packet *p, __u32 flags)
{
	__u32 bits = 0;

	if ((flags & SETTING_HOSTS4) && may_hold4(p->hash))
		bits = FILTER_HOST;
	if ((flags & SETTING_NETS4) && may_match_net4(p))
		bits |= FILTER_NET;
	if (bits)
		search4(p, bits, flags);
}

static __always_inline __u32 filter6_bits(__u64 prefix)
{
	__u64 h = mix(prefix);
	__u32 key = (h >> 6) & (FILTER6_LINES - 1);
	struct filter6_line *line = bpf_map_lookup_elem(&filter6, &key);

	return line ? line->flags[h & (LINE - 1)] : 0;
}

/* search6 looks the source up whose filter bits are given. */
__noinline int search6(struct packet *p, __u32 bits, __u32 flags)
{
	struct entry *e = 0, *subnet = 0;
	__u32 reason = REASON_HOST6;
	struct address addr;
	struct lpm6 net;

	if (!p)
		return 0;
	/* A copy: before Linux 5.18 no key may lie in memory that was passed. */
	addr = p->src;
	if (bits & FILTER_HOST) {
		e = bpf_map_lookup_elem(&hosts6, &addr);
		if (e && !alive(e))
			e = 0;
	}
	if (!e) {
		/* The longer of a /64 and of what the trie knows decides. */
		reason = REASON_NET6;
		if (bits & FILTER_SUBNET) {
			subnet = bpf_map_lookup_elem(&subnets6, &addr.hi);
			if (subnet && !alive(subnet))
				subnet = 0;
		}
		if (bits & FILTER_NET) {
			net.prefix_len = 128;
			__builtin_memcpy(net.addr, &addr, sizeof(net.addr));
			for (int i = 0; i < MAX_NESTED; i++) {
				e = bpf_map_lookup_elem(&nets6, &net);
				if (!e || alive(e))
					break;
				net.prefix_len = e->prefix_len - 1;
				e = 0;
				if (net.prefix_len > 128)
					break;
			}
		}
		if (subnet && (!e || e->prefix_len < 64))
			e = subnet;
	}
	if (!e)
		return 0;

	net.prefix_len = 128;
	__builtin_memcpy(net.addr, &addr, sizeof(net.addr));
	if ((flags & SETTING_ALLOW6) && bpf_map_lookup_elem(&allow6, &net))
		p->verdict = VERDICT_ALLOWED;
	else
		decide(p, e, flags, reason);
	return 0;
}

static __always_inline void judge6(struct packet *p, __u32 flags)
{
	struct address subnet = { .hi = p->src.hi };
	__u32 bits = 0;
	__u64 host;

	if ((flags & SETTING_HOSTS6) && may_hold6(p->hash))
		bits = FILTER_HOST;
	if ((flags & SETTING_SUBNETS6) && may_hold6(hash_address(subnet)))
		bits |= FILTER_SUBNET;
	if (flags & SETTING_NETS6) {
		host = bpf_be64_to_cpu(p->src.hi);
		bits |= filter6_bits(host >> 16 << 16) | filter6_bits(host >> 32 << 32 | 1);
		if (flags & SETTING_WIDE6)
			bits |= FILTER_NET;
	}
	if (bits)
		search6(p, bits, flags);
}

#endif
