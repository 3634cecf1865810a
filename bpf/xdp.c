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
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "xdp.h"

/* ---- packet headers ---------------------------------------------------- */

/* EtherTypes (IEEE 802 numbers). */
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100 /* 802.1Q */
#define ETHERTYPE_IP6 0x86DD
#define ETHERTYPE_QINQ 0x88A8 /* 802.1ad */
#define ETHERTYPE_QINQ_OLD 0x9100

/* MAX_TAGS is how many VLAN tags are followed. */
#define MAX_TAGS 2
/* MAX_EXTENSIONS is how many IPv6 extension headers are followed. */
#define MAX_EXTENSIONS 8
/* MAX_NESTED is how many expired prefixes around an address are looked past. */
#define MAX_NESTED 8

/* IP protocol numbers (IANA). */
#define IP_HOPOPTS 0
#define IP_ICMP 1
#define IP_TCP 6
#define IP_UDP 17
#define IP_ROUTING 43
#define IP_FRAGMENT 44
#define IP_AH 51
#define IP_ICMP6 58
#define IP_DSTOPTS 60
#define IP_MOBILITY 135
#define IP_HIP 139
#define IP_SHIM6 140

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

struct ethernet {
	__u8 dst[6];
	__u8 src[6];
	__u16 type;
};

struct vlan {
	__u16 tci;
	__u16 type;
};

struct ip4 {
	__u8 version_ihl;
	__u8 tos;
	__u16 total_len;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 src;
	__u32 dst;
};

struct ip6 {
	__u8 version_class;
	__u8 class_flow[3];
	__u16 payload_len;
	__u8 next;
	__u8 hop_limit;
	struct address src;
	struct address dst;
};

/* extension is the start of every IPv6 extension header, and all of Fragment. */
struct extension {
	__u8 next;
	__u8 len;
	__u16 fragment;
	__u32 id;
};

struct tcp {
	__u16 src;
	__u16 dst;
	__u32 seq;
	__u32 ack;
	__u8 offset;
	__u8 flags;
	__u16 window;
	__u16 checksum;
	__u16 urgent;
};

struct udp {
	__u16 src;
	__u16 dst;
	__u16 len;
	__u16 checksum;
};

struct icmp {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 rest;
};

/* ---- maps -------------------------------------------------------------- */

/* Set before the program is loaded, constant afterwards. */
const volatile __u32 source_buckets = 64;      /* per processor and half; a power of 2 */
const volatile __u32 destination_buckets = 64; /* likewise */
const volatile __u64 hash_seed = 0;
const volatile __u64 hash_keys[3]; /* odd, made of the seed */
const volatile __u32 limit_lines = 1; /* a power of 2 */
const volatile __u32 cpu_count = 1;
const volatile __u32 host_words4 = 1; /* a power of 2, as is the next */
const volatile __u32 host_words6 = 1;
const volatile __u32 detect = 1; /* 0: verdicts only; the verifier takes account() out */

/* numbers has no use but to keep its types in the object's type information,
 * from which the Go constants are generated. */
const volatile struct {
	enum protocol protocol;
	enum verdict verdict;
	enum reason reason;
	enum malformed malformed;
	enum class class;
	enum odd odd;
	enum action action;
	enum entry_flag entry_flag;
	enum setting setting;
	enum filter filter;
	enum rule_class rule_class;
	enum rule_need rule_need;
	enum drop_unit drop_unit;
	struct capture capture;
} numbers;

/*
 * Each of these variables stands for the value of the one element of the map that its
 * section is named after: the host has what refers to the variable refer to that, when
 * it loads the program. The compiler knows where a variable is, as the kernel then
 * does; an element has to be looked up for each packet, and a variable cannot be
 * pinned. BEHIND is for those whose value is an array, of a length that the host
 * sets: it keeps from the compiler that there is one element.
 */
struct settings in_force SEC(".data.settings");
struct cpu_state states[1] SEC(".data.cpus");
__u64 words4[1] SEC(".data.host_filter4");
__u64 words6[1] SEC(".data.host_filter6");

#define BEHIND(variable)                              \
	({                                            \
		typeof(&(variable)[0]) at_ = (variable); \
		asm volatile("" : "+r"(at_));         \
		at_;                                  \
	})

/* The sizes of hosts*, subnets6, nets*, allow*, limits and of the slot tables are
 * set by the host. */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

/*
 * host_filter4 and host_filter6 are Bloom filters of the addresses that have an
 * entry of their own, and of the IPv6 /64s that have one: for each two bits in
 * one word. Only as much of them is in use as the list needs, so that it stays in
 * the processor's cache.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} host_filter4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} host_filter6 SEC(".maps");

/*
 * drops4 spares most packets of hosts that are just dropped the look into hosts4,
 * which takes longer than all the rest. What it holds is in hosts4 as well; an
 * address that it has no room for is found there.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct drop_line);
} drops4 SEC(".maps");

/* filter16 holds one bit for each IPv4 /16: does any entry of less than 32 bits touch it? */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} filter16 SEC(".maps");

/* filter24 holds the same for each IPv4 /24, a line for each /16. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct filter_line);
} filter24 SEC(".maps");

/* filter6 holds a byte, FILTER_NET or 0, for each hash of a /48 and of a /32. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FILTER6_LINES);
	__type(key, __u32);
	__type(value, struct filter6_line);
} filter6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct entry);
} hosts4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm4);
	__type(value, struct entry);
} nets4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm4);
	__type(value, struct entry);
} allow4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, struct entry);
} hosts6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct entry);
} subnets6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm6);
	__type(value, struct entry);
} nets6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm6);
	__type(value, struct entry);
} allow6 SEC(".maps");

/*
 * limits holds a bucket for each source that has a limit and used some of it: a
 * set-associative table of all processors, so that a limit is one limit. It is
 * written under a lock and not by compare-and-exchange, which the compiler for
 * arm64 in the kernel has since Linux 5.18.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limit_line);
} limits SEC(".maps");

/*
 * The maps of rules have two halves: one is in force (settings.rules), the next
 * set is written into the other.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct rule_set);
} rule_sets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * RULE_PREFIXES);
	__type(key, struct rule_key);
	__type(value, struct rule_prefix);
} rule_prefixes SEC(".maps");

/* rule_ports holds masks: for each half, those of destination ports, then those
 * of source ports. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4 * PORTS);
	__type(key, __u32);
	__type(value, __u64);
} rule_ports SEC(".maps");

/* rule_counts holds 2 * RULES slots for each processor, so that those of a set
 * and of the next have room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * RULES);
	__type(key, __u32);
	__type(value, struct rule_count);
} rule_counts SEC(".maps");

/*
 * The slot tables: for each processor, for each of two halves, a power of two
 * of buckets of WAYS slots.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source_bucket);
} sources SEC(".maps");

/* source_details holds one for each slot of sources. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source_detail);
} source_details SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct destination_bucket);
} destinations SEC(".maps");

/*
 * captures leads to whoever captures dropped packets; empty most of the time.
 * Its buffers are bounded, and what finds no room is counted there. It is no
 * ring buffer, into which Linux 5.15 cannot copy a packet without a loop.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} captures SEC(".maps");

/* ---- one packet -------------------------------------------------------- */

struct packet {
	struct address src;
	struct address dst;
	__u32 bytes;
	__u32 port; /* destination port, 0 for what has none */
	__u32 protocol;
	__u32 class;
	__u32 note; /* what the class leaves out: the source port, or bits of enum odd */
	__u64 hash;   /* of src */
	__u32 weight; /* how many packets it stands for in the slots */
	__u32 ports; /* both, as they are in the packet; see has_ports */
	__u16 verdict;
	__u16 reason;
	__u16 six;    /* 1 for IPv6 */
	__u8 broken; /* the transport header is no good, but for its ports */
	__u8 unread; /* behind more IPv6 extension headers than are followed */
};

/* walk is where a walk over IPv6 extension headers stands. */
struct walk {
	__u32 offset; /* of the next header, from the start of the frame */
	__u32 next;   /* its protocol number */
	__u32 left;   /* bytes of the IP packet from there on */
	__u32 more;   /* other fragments follow */
	__u32 later;  /* this is a later fragment */
};

/* What is unlikely is put out of the way of what is not. */
#define unlikely(x) __builtin_expect(!!(x), 0)

/* state_of returns the state of a processor, which is below cpu_count. */
static __always_inline struct cpu_state *state_of(__u32 cpu_id)
{
	struct cpu_state *state = BEHIND(states) + cpu_id;

	/* Once: it is needed more often than the compiler thinks worth a register. */
	asm volatile("" : "+r"(state));
	return state;
}

static __always_inline void add(struct counter *c, __u64 bytes)
{
	c->packets++;
	c->bytes += bytes;
}

/* mix is a keyed hash: who sends packets must not be able to choose its value. */
static __always_inline __u64 mix(__u64 x)
{
	x ^= hash_seed;
	x *= 0x9E3779B97F4A7C15ULL;
	x ^= x >> 32;
	x *= 0xD6E8FEB86659FD93ULL;
	x ^= x >> 29;
	return x;
}

/* scatter makes the upper bits of a hash independent of each other also for keys
 * that follow each other, as a bitmap needs that estimates how many there are. */
static __always_inline __u64 scatter(__u64 hash)
{
	return (hash ^ hash >> 32) * 0xD6E8FEB86659FD93ULL;
}

/*
 * hash_address is a multilinear hash with secret keys (Lemire and Kaser 2014):
 * whoever does not see its values cannot choose addresses that share more of them
 * than chance has it. Its lowest 16 bits are not to be used.
 */
static __always_inline __u64 hash_address(struct address a)
{
	return scatter(a.hi * hash_keys[0] + a.lo * hash_keys[1]);
}

/* ---- verdict ----------------------------------------------------------- */

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

/* ---- rules ------------------------------------------------------------- */

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

/* ---- headers above IP -------------------------------------------------- */

static __always_inline __u32 tcp_class(__u32 flags)
{
	switch (flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) {
	case TCP_ACK:
		return CLASS_ACK;
	case TCP_SYN:
		return CLASS_SYN;
	case TCP_SYN | TCP_ACK:
		return CLASS_SYNACK;
	case TCP_FIN | TCP_ACK:
		return CLASS_FIN;
	case TCP_RST:
	case TCP_RST | TCP_ACK:
		return CLASS_RST;
	}
	return CLASS_ODD;
}

static __always_inline __u32 odd_kind(__u32 flags)
{
	if ((flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
		return ODD_SYN_FIN;
	switch (flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST | TCP_PSH | TCP_URG)) {
	case 0:
		return ODD_NULL;
	case TCP_FIN:
		return ODD_FIN;
	case TCP_FIN | TCP_PSH | TCP_URG:
		return ODD_XMAS;
	}
	return ODD_OTHER;
}

/*
 * amplifies tells the source ports of services that answer a small datagram
 * with a large one, so that they flood whoever the question seems to come from
 * (US-CERT alert TA14-017A).
 */
static __always_inline int amplifies(__u32 port)
{
	switch (port) {
	case 17:    /* QOTD */
	case 19:    /* CharGEN */
	case 53:    /* DNS */
	case 111:   /* portmap */
	case 123:   /* NTP */
	case 137:   /* NetBIOS name service */
	case 161:   /* SNMP */
	case 389:   /* CLDAP */
	case 520:   /* RIPv1 */
	case 1434:  /* SQL Server resolution */
	case 1900:  /* SSDP */
	case 3283:  /* Apple Remote Desktop */
	case 3702:  /* WS-Discovery */
	case 5353:  /* mDNS */
	case 5683:  /* CoAP */
	case 10001: /* Ubiquiti discovery */
	case 11211: /* memcached */
	case 37810: /* DHDiscover */
		return 1;
	}
	return 0;
}

/* Types of echo requests (RFC 792; RFC 4443, section 4.1). */
#define ICMP_ECHO 8
#define ICMP6_ECHO 128

static __always_inline __u32 protocol_of(__u32 next)
{
	switch (next) {
	case IP_TCP:
		return PROTOCOL_TCP;
	case IP_UDP:
		return PROTOCOL_UDP;
	case IP_ICMP:
		return PROTOCOL_ICMP;
	case IP_ICMP6:
		return PROTOCOL_ICMP6;
	}
	return PROTOCOL_OTHER;
}

/* broken keeps the ports, with which TCP and UDP headers begin, of one that is no
 * good otherwise. */
static __always_inline void broken(struct packet *p, void *cur, void *end, __u32 len)
{
	if (len < sizeof(__u32) || cur + sizeof(__u32) > end)
		return;
	p->ports = *(__u32 *)cur;
	p->broken = 1;
}

/*
 * transport reads the header at cur, of which len bytes belong to the IP
 * packet; more says that other fragments follow. It returns the malformed
 * reason, or MALFORMED_NONE.
 */
static __always_inline __u32 transport(struct packet *p, void *cur, void *end, __u32 len, int more)
{
	switch (p->protocol) {
	case PROTOCOL_TCP: {
		struct tcp *h = cur;
		__u32 words;

		if (len < sizeof(*h) || (void *)(h + 1) > end) {
			broken(p, cur, end, len);
			return MALFORMED_TCP_SHORT;
		}
		words = h->offset >> 4;
		if (words < 5 || (!more && words * 4 > len)) {
			broken(p, cur, end, len);
			return MALFORMED_TCP_OFFSET;
		}
		p->ports = *(__u32 *)h;
		p->port = bpf_ntohs(p->ports >> 16);
		p->class = tcp_class(h->flags);
		if (p->class == CLASS_ODD)
			p->note = odd_kind(h->flags);
		return MALFORMED_NONE;
	}
	case PROTOCOL_UDP: {
		struct udp *h = cur;
		__u32 want;

		if (len < sizeof(*h) || (void *)(h + 1) > end) {
			broken(p, cur, end, len);
			return MALFORMED_UDP_SHORT;
		}
		want = bpf_ntohs(h->len);
		/* Zero stands for a jumbogram (RFC 2675, section 4). */
		if (!(want == 0 && p->six) && (want < sizeof(*h) || (!more && want > len))) {
			broken(p, cur, end, len);
			return MALFORMED_UDP_LENGTH;
		}
		p->ports = *(__u32 *)h;
		p->port = bpf_ntohs(p->ports >> 16);
		p->class = CLASS_UDP;
		p->note = bpf_ntohs(h->src);
		if (amplifies(p->note))
			p->class = CLASS_REFLECT;
		return MALFORMED_NONE;
	}
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMP6: {
		struct icmp *h = cur;

		if (len < sizeof(*h) || (void *)(h + 1) > end)
			return MALFORMED_ICMP_SHORT;
		p->class = CLASS_ICMP;
		if (h->type == (p->protocol == PROTOCOL_ICMP ? ICMP_ECHO : ICMP6_ECHO))
			p->class = CLASS_ECHO;
		return MALFORMED_NONE;
	}
	}
	return MALFORMED_NONE;
}

/* ---- IP ---------------------------------------------------------------- */

/* parse4 returns the malformed reason, or MALFORMED_NONE. *ip tells whether the packet has
 * a source address, *later whether it is a later fragment. */
static __always_inline __u32 parse4(struct packet *p, void *cur, void *end, __u32 flags,
				    int *ip, int *later)
{
	struct ip4 *h = cur;
	__u32 header, total, fragment;

	if ((void *)(h + 1) > end)
		return MALFORMED_IP4_SHORT;
	if (h->version_ihl >> 4 != 4)
		return MALFORMED_IP4_VERSION;
	*ip = 1;
	/* The first four bytes, this being a little-endian machine. */
	p->src.hi = h->src;
	p->dst.hi = h->dst;
	p->protocol = protocol_of(h->protocol);
	p->hash = hash_address(p->src);
	judge4(p, flags);

	header = (h->version_ihl & 15) * 4;
	total = bpf_ntohs(h->total_len);
	if (header < sizeof(*h) || header > total)
		return MALFORMED_IP4_HEADER_LENGTH;
	if (cur + total > end)
		return MALFORMED_IP4_TOTAL_LENGTH;
	fragment = bpf_ntohs(h->fragment);
	if (fragment & 0x1fff) {
		*later = 1;
		return MALFORMED_NONE;
	}
	/* ICMPv6 over IPv4 is no protocol. */
	if (p->protocol == PROTOCOL_ICMP6)
		p->protocol = PROTOCOL_OTHER;
	return transport(p, cur + header, end, total - header, fragment & 0x2000);
}

/* MAX_OFFSET bounds the offset of a header in its frame: Ethernet, two tags,
 * the fixed header, and the longest extension headers (2,048 bytes each). */
#define MAX_OFFSET (14 + 2 * 4 + 40 + MAX_EXTENSIONS * 2048)

static __always_inline int is_extension(__u32 next)
{
	switch (next) {
	case IP_HOPOPTS:
	case IP_ROUTING:
	case IP_FRAGMENT:
	case IP_AH:
	case IP_DSTOPTS:
	case IP_MOBILITY:
	case IP_HIP:
	case IP_SHIM6:
		return 1;
	}
	return 0;
}

/*
 * walk6 follows extension headers from w->offset until one that is none, or a
 * later fragment. It returns the malformed reason, or MALFORMED_NONE.
 */
__noinline __u32 walk6(struct xdp_md *ctx, struct walk *w)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset, next, left, len;

	if (!w)
		return MALFORMED_NONE;
	offset = w->offset;
	next = w->next;
	left = w->left;
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		struct extension *x;

		if (!is_extension(next))
			break;
		if (i == MAX_EXTENSIONS)
			return MALFORMED_IP6_EXTENSION_DEEP;
		if (offset > MAX_OFFSET)
			return MALFORMED_IP6_EXTENSION_SHORT;
		x = data + offset;
		if (left < sizeof(*x) || (void *)(x + 1) > end)
			return MALFORMED_IP6_EXTENSION_SHORT;
		len = (x->len + 1) * 8;
		if (next == IP_AH) {
			len = (x->len + 2) * 4;
		} else if (next == IP_FRAGMENT) {
			len = sizeof(*x);
			w->more = x->fragment & bpf_htons(1);
			w->later = x->fragment & bpf_htons(0xfff8);
		}
		next = x->next;
		if (w->later)
			break;
		if (len > left)
			return MALFORMED_IP6_EXTENSION_SHORT;
		left -= len;
		offset += len;
	}
	w->offset = offset;
	w->next = next;
	w->left = left;
	return MALFORMED_NONE;
}

static __always_inline __u32 parse6(struct xdp_md *ctx, struct packet *p, void *cur, void *end,
				    __u32 flags, int *ip, int *later)
{
	void *data = (void *)(long)ctx->data;
	struct walk w = {};
	struct ip6 *h = cur;
	__u32 fault;

	if ((void *)(h + 1) > end)
		return MALFORMED_IP6_SHORT;
	if (h->version_class >> 4 != 6)
		return MALFORMED_IP6_VERSION;
	*ip = 1;
	p->six = 1;
	p->src = h->src;
	p->dst = h->dst;
	p->protocol = PROTOCOL_OTHER;
	p->hash = hash_address(p->src);
	judge6(p, flags);

	w.next = h->next;
	w.left = bpf_ntohs(h->payload_len);
	cur = h + 1;
	/* A jumbogram gives its length elsewhere (RFC 2675, section 3). */
	if (w.left == 0 && w.next == IP_HOPOPTS)
		w.left = end - cur;
	if (w.left > (__u64)(end - cur))
		return MALFORMED_IP6_PAYLOAD_LENGTH;
	if (is_extension(w.next)) {
		w.offset = cur - data;
		fault = walk6(ctx, &w);
		if (fault) {
			p->unread = fault == MALFORMED_IP6_EXTENSION_DEEP;
			return fault;
		}
		if (w.offset > MAX_OFFSET)
			return MALFORMED_IP6_EXTENSION_SHORT;
		cur = data + w.offset;
	}
	/* ICMP over IPv6 is no protocol. */
	if (w.next != IP_ICMP)
		p->protocol = protocol_of(w.next);
	if (w.later) {
		*later = 1;
		return MALFORMED_NONE;
	}
	return transport(p, cur, end, w.left, w.more);
}

/* ---- slots ------------------------------------------------------------- */

/* LANES repeats 16 bits in each of the four lanes of a word. */
#define LANES(x) ((x) * 0x0001000100010001ULL)

/* equal_lanes returns a word with the top bit set of the lowest lane of tags that
 * has the value of lanes, and perhaps of later ones; 0 when none has it. */
static __always_inline __u64 equal_lanes(__u64 tags, __u64 lanes)
{
	__u64 x = tags ^ lanes;

	return (x - LANES(1)) & ~x & LANES(0x8000);
}

/* lowest_lane returns the number of the lowest lane whose top bit is set: the
 * product has it in its upper 16 bits. */
static __always_inline __u32 lowest_lane(__u64 m)
{
	return ((m & -m) >> 15) * 0x0000000100020003ULL >> 48;
}

/* ADMIT is how many packets that find a bucket full there are to one that contends
 * for a slot, so that a flood of forged sources costs little more than a look at
 * the bucket. Who sends many packets contends soon. */
#define ADMIT 32

/* way_of returns the way of a bucket that a hash prefers. */
static __always_inline __u32 way_of(__u64 hash)
{
	return hash >> 29 & (WAYS - 1);
}

/*
 * find_way returns the way that has the tag, else one that no key took in this
 * epoch, the preferred one if it may be, else, for one packet in ADMIT, that one,
 * whose slot has to be contended for; WAYS otherwise.
 */
static __always_inline __u32 find_way(struct slot_use *u, __u32 epoch, __u32 tag, __u64 hash, __u32 weight,
				     struct table_loss *loss)
{
	__u64 m, lanes = LANES((__u64)tag);
	__u32 way = way_of(hash);

	if (u->epoch != epoch) {
		u->epoch = epoch;
		u->used = 1;
		u->tags[0] = 0;
		u->tags[1] = 0;
		return way;
	}
	m = equal_lanes(u->tags[0], lanes);
	if (m)
		return lowest_lane(m);
	m = equal_lanes(u->tags[1], lanes);
	if (m)
		return 4 + lowest_lane(m);
	if (u->used < WAYS) {
		u->used++;
		if (!((__u16 *)u->tags)[way])
			return way;
		m = equal_lanes(u->tags[0], 0);
		if (m)
			return lowest_lane(m);
		m = equal_lanes(u->tags[1], 0);
		if (m)
			return 4 + lowest_lane(m);
	}
	/* An odd number for either weight, so that everybody's turn comes. */
	if (((hash >> 20) + loss->missed_packets + loss->missed_packets / DROP_SHARE) & (ADMIT - 1)) {
		loss->missed_packets += weight;
		return WAYS;
	}
	return way;
}

/* BOUND bounds a way for verifiers as old as that of Linux 6.1, which lose what a
 * test said of it when it is copied. */
#define BOUND(way)                         \
	({                                 \
		asm volatile("" : "+r"(way)); \
		(way) &= WAYS - 1;         \
	})

static __always_inline void set_tag(struct slot_use *b, __u32 way, __u32 tag)
{
	((__u16 *)b->tags)[way & (WAYS - 1)] = tag;
}

/*
 * YIELDS tells whether a slot that another key took in this epoch gives way: it
 * does when it was wanted by others as often as it was used, so that who sends
 * much stays.
 */
#define YIELDS(slot, weight, loss)                             \
	({                                                     \
		int yields_ = ++(slot)->misses >= (slot)->packets; \
		if (yields_) {                                 \
			(loss)->evicted++;                     \
			(loss)->evicted_packets += (slot)->packets; \
		} else {                                       \
			(loss)->missed_packets += (weight);    \
		}                                              \
		yields_;                                       \
	})

/* tag_of returns the tag of a hash. No tag is 0. */
static __always_inline __u32 tag_of(__u64 hash)
{
	return hash >> 48 | 1;
}

/* note_flow adds a destination to what is known of a source. */
static __always_inline void note_flow(struct source_detail *d, struct address dst, __u32 port)
{
	__u64 hash = scatter(port * hash_keys[2]);

	d->peers |= 1ULL << (hash_address(dst) >> 58);
	d->last_destination = dst;
	if (!port || (d->ports[(hash >> 56) & 3] & 1ULL << (hash >> 58)))
		return;
	d->ports[(hash >> 56) & 3] |= 1ULL << (hash >> 58);
	if (d->samples < PORT_SAMPLE) {
		d->sample[d->samples & (PORT_SAMPLE - 1)] = port;
		d->samples++;
	}
}

/* count_detail counts what has no place in the slot of the packet's source, which
 * has the number key. */
static __noinline int count_detail(struct source_slot *s, const struct packet *p, __u32 key, __u32 last)
{
	struct source_detail *d = bpf_map_lookup_elem(&source_details, &key);

	if (!d)
		return 0;
	if (!s->detailed) {
		s->detailed = 1;
		__builtin_memset(d, 0, sizeof(*d));
		if (s->last) {
			struct address first = { .hi = s->first };

			note_flow(d, first, s->first_port);
		}
	}
	if (p->class >= HOT_CLASSES && p->class < CLASS_COUNT)
		d->counts[p->class - HOT_CLASSES] += p->weight;
	if (p->class == CLASS_ODD)
		d->odd |= p->note;
	else if (p->class == CLASS_REFLECT)
		d->service = p->note;
	if (p->verdict == VERDICT_WOULD_DROP)
		d->counts[CLASS_WOULD_DROP - HOT_CLASSES]++;
	if (s->last != last) {
		s->last = last;
		note_flow(d, p->dst, p->port);
	}
	return 0;
}

static __always_inline void count_source(struct cpu_state *cpu, __u32 half, __u32 epoch, const struct packet *p,
					 __u64 src, __u64 dst)
{
	__u32 buckets = source_buckets, bucket = half * buckets + (src >> 32 & (buckets - 1));
	__u32 owner = epoch << 1 | p->six, last = dst >> 32 | 1, tag = tag_of(src), way;
	struct source_bucket *b = bpf_map_lookup_elem(&sources, &bucket);
	struct source_slot *s;

	if (!b)
		return;
	/*
	 * Most slots are in the way that their hash prefers. That this one is, is a
	 * guess of the processor's that needs no waiting for the tag.
	 */
	way = way_of(src);
	if (unlikely(b->use.epoch != epoch || ((__u16 *)b->use.tags)[way] != tag)) {
		way = find_way(&b->use, epoch, tag, src, p->weight, &cpu->sources);
		if (way >= WAYS)
			return;
		BOUND(way);
	}
	s = &b->slots[way];
	if (unlikely((s->owner ^ owner) | (s->addr.hi ^ p->src.hi) | (p->six ? s->addr.lo ^ p->src.lo : 0))) {
		if (s->owner >> 1 == (epoch & 0x7fffffff) && !YIELDS(s, p->weight, &cpu->sources))
			return;
		set_tag(&b->use, way, tag);
		__builtin_memset(s, 0, sizeof(*s));
		s->addr = p->src;
		s->owner = owner;
		if (!p->six) {
			s->first = p->dst.hi;
			s->first_port = p->port;
			s->last = last;
		}
	}
	s->packets += p->weight;
	s->bytes += (__u64)p->weight * p->bytes;
	if (p->verdict == VERDICT_DROP)
		s->counts[CLASS_DROPPED] += p->weight;
	if (p->class < HOT_CLASSES)
		s->counts[p->class] += p->weight;
	if (unlikely(s->last != last || p->class >= HOT_CLASSES || p->verdict == VERDICT_WOULD_DROP)) {
		struct packet copy = *p;

		count_detail(s, &copy, bucket * WAYS + way, last);
	}
}

static __always_inline void count_destination(struct cpu_state *cpu, __u32 half, __u32 epoch, const struct packet *p,
					      __u64 src, __u64 dst)
{
	__u32 buckets = destination_buckets, bucket = half * buckets + (dst >> 32 & (buckets - 1));
	__u32 owner = epoch << 1 | p->six, tag = tag_of(dst), way;
	struct destination_bucket *b = bpf_map_lookup_elem(&destinations, &bucket);
	struct destination_slot *s;

	if (!b)
		return;
	way = way_of(dst);
	if (unlikely(b->use.epoch != epoch || ((__u16 *)b->use.tags)[way] != tag)) {
		way = find_way(&b->use, epoch, tag, dst, p->weight, &cpu->destinations);
		if (way >= WAYS)
			return;
		BOUND(way);
	}
	s = &b->slots[way];
	if (unlikely((s->owner ^ owner) | (s->port ^ p->port) | (s->addr.hi ^ p->dst.hi) | (p->six ? s->addr.lo ^ p->dst.lo : 0))) {
		if (s->owner >> 1 == (epoch & 0x7fffffff) && !YIELDS(s, p->weight, &cpu->destinations))
			return;
		set_tag(&b->use, way, tag);
		__builtin_memset(s, 0, sizeof(*s));
		s->addr = p->dst;
		s->owner = owner;
		s->port = p->port;
	}
	s->packets += p->weight;
	s->bytes += (__u64)p->weight * p->bytes;
	if (p->class < CLASS_COUNT)
		s->counts[p->class] += p->weight;
	if (p->class == CLASS_ODD)
		s->odd |= p->note;
	else if (p->class == CLASS_REFLECT)
		s->service = p->note;
	if (p->verdict == VERDICT_DROP)
		s->counts[CLASS_DROPPED] += p->weight;
	else if (p->verdict == VERDICT_WOULD_DROP)
		s->counts[CLASS_WOULD_DROP]++;
	s->peers[(src >> 56) & 3] |= 1ULL << (src >> 58);
}

/*
 * weigh returns how many packets one that is dropped stands for in the slots, 0 for
 * one that others stand for. A flood of what is blocked is counted to the packet by
 * verdict and reason; of whom it comes from, and what it is, a share tells as much,
 * and leaves the time and the slots to what is not blocked.
 */
static __always_inline __u32 weigh(struct cpu_state *cpu, __u32 epoch)
{
	__u32 n;

	if (cpu->drop_epoch != epoch) {
		cpu->drop_epoch = epoch;
		cpu->epoch_drops = 0;
	}
	n = cpu->epoch_drops++;
	if (n < DROPS_EACH)
		return 1;
	return n & (DROP_SHARE - 1) ? 0 : DROP_SHARE;
}

/* account counts the packet in the slots of its source and its destination. */
static __always_inline void account(const struct packet *p, struct cpu_state *cpu, __u32 cpu_id, __u32 epoch)
{
	__u64 dst = p->dst.hi * hash_keys[0] + p->port * hash_keys[2];
	__u32 half = cpu_id * 2 + (epoch & 1);

	if (p->six)
		dst += p->dst.lo * hash_keys[1];

	count_source(cpu, half, epoch, p, p->hash, dst);
	count_destination(cpu, half, epoch, p, p->hash, dst);
}

/* show gives a dropped packet to who captures them. */
__noinline int show(struct xdp_md *ctx, __u32 length, __u32 verdict, __u32 reason)
{
	struct capture c = {
		.time = bpf_ktime_get_ns(),
		.length = length,
		.verdict = verdict,
		.reason = reason,
	};
	__u64 bytes = length < CAPTURE_BYTES ? length : CAPTURE_BYTES;

	bpf_perf_event_output(ctx, &captures, BPF_F_CURRENT_CPU | bytes << 32, &c, sizeof(c));
	return 0;
}

/* ---- program ----------------------------------------------------------- */

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
