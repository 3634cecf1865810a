/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* The verdict of the rules. */
#ifndef IRONPOST_RULES_H
#define IRONPOST_RULES_H

#include "lists.h"

/* lowest returns the number of the lowest bit that is set, by counting those
 * below it: there is no instruction for either. */
static __always_inline __u32 lowest(__u64 mask)
{
	__u64 x = (mask & -mask) - 1;

	x -= (x >> 1) & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (x * 0x0101010101010101ULL >> 56) & (RULES - 1);
}

static __always_inline __u32 rule_class(const struct packet *p)
{
	switch (p->protocol) {
	case PROTOCOL_TCP:
		return p->class == CLASS_SYN || p->broken ? RULE_SYN : RULE_TCP;
	case PROTOCOL_UDP:
		return RULE_UDP;
	case PROTOCOL_ICMP:
		return RULE_ICMP;
	case PROTOCOL_ICMP6:
		return RULE_ICMP6;
	}
	return RULE_OTHER;
}

/* has_ports tells whether the packet has ports that could be read: a class is what
 * a header that is good gives it. */
static __always_inline int has_ports(const struct packet *p)
{
	return p->broken || ((p->protocol == PROTOCOL_TCP || p->protocol == PROTOCOL_UDP) && p->class != CLASS_OTHER);
}

/* port_rules returns the rules that a port matches; which is 0 for destination
 * ports, 1 for source ports. */
static __always_inline __u64 port_rules(__u32 half, __u32 which, __u16 port)
{
	__u32 key = (half * 2 + which) * PORTS + bpf_ntohs(port);
	__u64 *mask = bpf_map_lookup_elem(&rule_ports, &key);

	return mask ? *mask : 0;
}

/* address_rules returns the rules that an address matches, any if none names it. */
static __always_inline __u64 address_rules(struct address a, __u32 six, __u32 scope, __u64 any)
{
	struct rule_key key = {
		.prefix_len = six ? 32 + 128 : 32 + 32,
		.scope = scope,
	};
	struct rule_prefix *prefix;

	__builtin_memcpy(key.addr, &a, sizeof(key.addr));
	prefix = bpf_map_lookup_elem(&rule_prefixes, &key);
	return prefix ? prefix->mask : any;
}

static __always_inline int is_allowed(const struct packet *p, __u32 flags)
{
	if (p->six) {
		struct lpm6 net = { .prefix_len = 128 };

		if (!(flags & SETTING_ALLOW6))
			return 0;
		__builtin_memcpy(net.addr, &p->src, sizeof(net.addr));
		return !!bpf_map_lookup_elem(&allow6, &net);
	} else {
		struct lpm4 net = { .prefix_len = 32, .addr = (__u32)p->src.hi };

		return (flags & SETTING_ALLOW4) && bpf_map_lookup_elem(&allow4, &net);
	}
}

/* raise gives a packet a verdict, unless it has that or a harder one. */
static __always_inline void raise(struct packet *p, __u32 verdict, __u32 reason)
{
	if (p->verdict < verdict) {
		p->verdict = verdict;
		p->reason = reason;
	}
}

/*
 * apply_rule has the rule of that number decide, and returns 1; 0 if it has
 * expired or only counts, and the next has to.
 */
__noinline int apply_rule(struct packet *p, __u32 number, __u32 flags)
{
	__u32 reason = REASON_RULE, key = number;
	struct rule_count *count;
	struct rule *r;

	if (!p)
		return 1;
	r = bpf_map_lookup_elem(&rules, &key);
	if (!r || (r->expires && bpf_ktime_get_coarse_ns() >= r->expires))
		return 0;
	if (is_allowed(p, flags)) {
		p->verdict = VERDICT_ALLOWED;
		return 1;
	}
	key = bpf_get_smp_processor_id() * 2 * RULES + (r->slot & (2 * RULES - 1));
	count = bpf_map_lookup_elem(&rule_counts, &key);
	if (!count)
		return 1;
	count->hits++;
	if (r->action == ACTION_LIMIT) {
		if (within_limit(p, r->rate, r->burst, r->salt)) {
			count->passes++;
			return !(r->flags & ENTRY_DRY_RUN);
		}
		reason = REASON_LIMIT;
	} else if (r->action != ACTION_DROP) {
		count->passes++;
		raise(p, VERDICT_MONITORED, REASON_RULE);
		return !(r->flags & ENTRY_DRY_RUN);
	}
	if ((r->flags & ENTRY_DRY_RUN) || (flags & SETTING_SIMULATE)) {
		count->would_drops++;
		raise(p, VERDICT_WOULD_DROP, reason);
		return !(r->flags & ENTRY_DRY_RUN);
	}
	raise(p, VERDICT_DROP, reason);
	return 1;
}

/*
 * judge_rules finds the rules that match a packet, each bit of a mask being one:
 * those of its protocol that are also those of its ports and of its addresses.
 * The lowest that is in force decides. What needs no lookup for any rule is not
 * looked up, and nothing is once no rule is left. half is settings.rules.
 */
__noinline int judge_rules(struct packet *p, __u32 half, __u32 flags)
{
	__u32 six, needs, key, unread;
	struct rule_set *set;
	__u64 mask;

	if (!p)
		return 0;
	half = (half - 1) & 1;
	six = p->six & 1;
	unread = p->unread;
	key = half;
	set = bpf_map_lookup_elem(&rule_sets, &key);
	if (!set)
		return 0;
	needs = set->needs;
	mask = set->classes[unread ? RULE_UNREAD : rule_class(p)];
	if (!mask)
		return 0;
	if (!unread && (needs & (RULE_PORTS | RULE_SOURCE_PORTS))) {
		int ported = has_ports(p);

		if (!ported)
			mask &= set->portless;
		if (ported && (needs & RULE_PORTS))
			mask &= port_rules(half, 0, p->ports >> 16);
		if (ported && (needs & RULE_SOURCE_PORTS))
			mask &= port_rules(half, 1, p->ports);
	}
	if (mask && (needs & (RULE_FROM4 << six)))
		mask &= address_rules(p->src, six, half | six << 1, set->from_any);
	else
		mask &= set->from_any;
	if (mask && (needs & (RULE_TO4 << six)))
		mask &= address_rules(p->dst, six, half | six << 1 | 4, set->to_any);
	else
		mask &= set->to_any;

	for (int i = 0; i < RULES && mask; i++) {
		if (apply_rule(p, half * RULES + lowest(mask), flags))
			break;
		mask &= mask - 1;
	}
	return 0;
}

#endif
