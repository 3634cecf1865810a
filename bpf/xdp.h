/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/*
 * What the packet filter and the host share: the values of its maps and the
 * numbers that name protocols, verdicts and reasons. The Go side of every type
 * here is generated; nothing is written twice.
 *
 * Every structure is laid out without implicit padding. Addresses are kept as
 * two 64-bit words holding the bytes of the packet in their order there; an
 * IPv4 address is the first four bytes, the rest is zero.
 */
#ifndef IRONPOST_XDP_H
#define IRONPOST_XDP_H

#include <linux/bpf.h>
#include <linux/types.h>

/* PORT_BITS is the size of the bitmap of destination ports of a source. */
#define PORT_BITS 256
/* PORT_SAMPLE is how many destination ports a source slot keeps verbatim. */
#define PORT_SAMPLE 16
/* PEER_BITS is the size of the bitmap of sources of a destination. */
#define PEER_BITS 256
/* WAYS is the associativity of the slot tables. */
#define WAYS 8
/* LINE is the size of a cache line, the unit of the filter tables. */
#define LINE 64
/* FILTER6_LINES is the number of lines of the IPv6 filter table, a power of 2. */
#define FILTER6_LINES 16384

/* RULES is how many rules there can be, one bit of a mask each. */
#define RULES 64
/* RULE_RANGES is how many ranges of ports a rule can name, of either kind. */
#define RULE_RANGES 8
/* RULE_PREFIXES is how many prefixes all rules together can name. */
#define RULE_PREFIXES 4096
/* PORTS is how many ports there are. */
#define PORTS 65536
/* DROP_WAYS is the associativity of the table of addresses that are just dropped. */
#define DROP_WAYS 4
/* LIMIT_WAYS is the associativity of the table of limits, as fits a cache line. */
#define LIMIT_WAYS 4

/*
 * DROPS_EACH packets that are dropped in one epoch on one processor are counted in
 * the slots, each. From there on one in DROP_SHARE is, and stands for as many.
 */
#define DROPS_EACH 1024
#define DROP_SHARE 16

/* CAPTURE_BYTES is how much of a packet is shown: headers and a little more. */
#define CAPTURE_BYTES 256

/* What a packet carries. Each packet counts under exactly one. */
enum protocol {
	PROTOCOL_UNKNOWN = 0, /* the headers break off before they say */
	PROTOCOL_NON_IP = 1,
	PROTOCOL_ARP = 2,
	PROTOCOL_TCP = 3,
	PROTOCOL_UDP = 4,
	PROTOCOL_ICMP = 5,
	PROTOCOL_ICMP6 = 6,
	PROTOCOL_OTHER = 7, /* any other protocol over IP */
	PROTOCOL_COUNT = 8,
};

/* What became of a packet. Each packet counts under exactly one. */
enum verdict {
	VERDICT_PASS = 0,       /* not counted: the rest of what came */
	VERDICT_ALLOWED = 1,    /* on the block list, and on the allow list */
	VERDICT_MONITORED = 2,  /* matched what is to be counted only */
	VERDICT_WOULD_DROP = 3, /* dropped, were it not for simulate or dry run */
	VERDICT_DROP = 4,
	VERDICT_COUNT = 5,
};

/* Why a packet was, or would have been, dropped. */
enum reason {
	REASON_HOST4 = 0, /* an IPv4 entry of length 32 */
	REASON_NET4 = 1,  /* a shorter IPv4 entry */
	REASON_HOST6 = 2, /* an IPv6 entry of length 128 */
	REASON_NET6 = 3,  /* a shorter IPv6 entry */
	REASON_DEEP_VLAN = 4, /* more VLAN tags than are followed, by policy */
	REASON_LIMIT = 5,     /* over the rate of an entry or a rule */
	REASON_RULE = 6,
	REASON_COUNT = 7,
};

/* What is wrong with a packet. The first fault found is the one counted. */
enum malformed {
	MALFORMED_NONE = 0, /* never counted */
	MALFORMED_ETHERNET_SHORT = 1,
	MALFORMED_VLAN_SHORT = 2,
	MALFORMED_IP4_SHORT = 3,
	MALFORMED_IP4_VERSION = 4,
	MALFORMED_IP4_HEADER_LENGTH = 5, /* below 5 words, or past the total length */
	MALFORMED_IP4_TOTAL_LENGTH = 6,  /* more than arrived */
	MALFORMED_IP6_SHORT = 7,
	MALFORMED_IP6_VERSION = 8,
	MALFORMED_IP6_PAYLOAD_LENGTH = 9, /* more than arrived */
	MALFORMED_IP6_EXTENSION_SHORT = 10,
	MALFORMED_IP6_EXTENSION_DEEP = 11, /* more headers than are followed */
	MALFORMED_TCP_SHORT = 12,
	MALFORMED_TCP_OFFSET = 13,
	MALFORMED_UDP_SHORT = 14,
	MALFORMED_UDP_LENGTH = 15,
	MALFORMED_ICMP_SHORT = 16,
	MALFORMED_COUNT = 17,
};

/*
 * The classes of packets that slots count, in the order of their counters.
 * The first HOT_CLASSES share a cache line with the key.
 */
#define HOT_CLASSES 4
enum class {
	CLASS_ACK = 0, /* TCP: ACK without SYN, FIN, RST */
	CLASS_SYN = 1, /* TCP: SYN without ACK */
	CLASS_UDP = 2,
	CLASS_DROPPED = 3,
	CLASS_SYNACK = 4,
	CLASS_FIN = 5, /* TCP: FIN and ACK */
	CLASS_RST = 6,
	CLASS_ODD = 7,   /* TCP: flags that no stack sends together */
	CLASS_OTHER = 8, /* other protocols, later fragments, broken headers */
	CLASS_ICMP = 9,
	CLASS_WOULD_DROP = 10,
	CLASS_ECHO = 11,    /* ICMP and ICMPv6: echo requests; the rest is CLASS_ICMP */
	CLASS_REFLECT = 12, /* UDP from the port of a service that amplifies */
	CLASS_COUNT = 13,
};

/* What a packet of CLASS_ODD carried, by its flags; slots collect the bits. */
enum odd {
	ODD_NULL = 1,    /* none at all */
	ODD_FIN = 2,     /* FIN alone */
	ODD_XMAS = 4,    /* FIN, PSH and URG */
	ODD_SYN_FIN = 8, /* SYN and FIN, whatever else */
	ODD_OTHER = 16,
};

/* What an entry of the block list, or a rule, asks for. */
enum action {
	ACTION_DROP = 1,
	ACTION_MONITOR = 2,
	ACTION_LIMIT = 3, /* drop what is over a rate, for each source alone */
};

/* Bits of entry.flags and rule.flags. */
enum entry_flag {
	ENTRY_DRY_RUN = 1, /* simulate this entry alone */
};

/* Bits of settings.flags. */
enum setting {
	SETTING_SIMULATE = 1,       /* drop nothing, count what would be */
	SETTING_NETS6 = 2,          /* the block list has IPv6 entries of other lengths than 64 and 128 */
	SETTING_WIDE6 = 4,          /* of less than 32 */
	SETTING_DROP_DEEP_VLAN = 8, /* drop what has more tags than are followed */
	SETTING_ALLOW4 = 16,        /* the IPv4 allow list may have entries */
	SETTING_ALLOW6 = 32,
	SETTING_CAPTURE = 64,    /* show dropped packets to who captures them */
	SETTING_HOSTS4 = 128,    /* the block list has IPv4 entries of length 32 */
	SETTING_NETS4 = 256,     /* of less */
	SETTING_HOSTS6 = 512,    /* IPv6 entries of length 128 */
	SETTING_SUBNETS6 = 1024, /* of length 64 */
};

/* What kinds of entries may match an address. */
enum filter {
	FILTER_HOST = 1,   /* /32 or /128 */
	FILTER_NET = 2,    /* any other length */
	FILTER_SUBNET = 4, /* IPv6 only: /64 */
};

/*
 * What rules tell apart, in the order of rule_set.classes. A TCP header that
 * is broken but for its ports counts as RULE_SYN: the rest of it may follow in
 * another fragment, and what it asks for cannot be read.
 */
enum rule_class {
	RULE_TCP = 0, /* all but RULE_SYN */
	RULE_SYN = 1, /* SYN without ACK */
	RULE_UDP = 2,
	RULE_ICMP = 3,
	RULE_ICMP6 = 4,
	RULE_OTHER = 5,
	RULE_UNREAD = 6, /* behind more IPv6 extension headers than are followed */
	RULE_CLASSES = 8,
};

/* Bits of rule_set.needs: which lookups any rule of the set needs. */
enum rule_need {
	RULE_FROM4 = 1,
	RULE_FROM6 = 2, /* RULE_FROM4 << 1 */
	RULE_TO4 = 4,
	RULE_TO6 = 8, /* RULE_TO4 << 1 */
	RULE_PORTS = 16,
	RULE_SOURCE_PORTS = 32,
};

/* The unit of time of drop_line is 2^DROP_UNIT_SHIFT ns, about a second. */
enum drop_unit {
	DROP_UNIT_SHIFT = 30,
};

/* settings is the one value of the map settings; the host writes it. */
struct settings {
	__u32 epoch; /* from 1; its low bit selects the half of the slot tables */
	__u32 flags;
	__u64 seed; /* the host's own: hash_seed, which a program that takes the maps over needs */
	/* How much of the host filters is in use: their words less one, a power of 2 less
	 * one. hosts4_mask is the one of drops4 too. */
	__u32 hosts4_mask;
	__u32 hosts6_mask;
	__u32 rules; /* which half of the maps of rules is in force, from 1; 0: there are no rules */
	__u32 pad;
};

/* capture goes before the bytes of a packet that is shown. */
struct capture {
	__u64 time;   /* CLOCK_MONOTONIC in ns */
	__u32 length; /* of the frame, of which CAPTURE_BYTES at most follow */
	__u8 verdict;
	__u8 reason;
	__u16 pad;
};

/* entry is the value of every list. */
struct entry {
	__u64 expires;     /* CLOCK_MONOTONIC in ns; 0 is never */
	__u64 hits;        /* packets that this entry decided */
	__u64 passes;      /* of those, monitored or within the limit */
	__u64 would_drops; /* of those, not dropped for the sake of simulate or dry run */
	__u32 rate;        /* ACTION_LIMIT: packets a second, */
	__u32 burst;       /* and how many may come at once */
	__u32 rule;
	__u8 action;
	__u8 flags;
	__u8 prefix_len;
	__u8 generation; /* the host's own: which list it came with */
};

/*
 * drop_line holds IPv4 addresses whose entry just drops: an address in the lower
 * half of a cell, and in the upper one until when, in units of 2^DROP_UNIT_SHIFT ns
 * of CLOCK_MONOTONIC, all ones for ever. 0 is an empty cell.
 */
struct drop_line {
	__u64 cells[DROP_WAYS];
};

/* limit_line holds buckets of sources that have a limit, in one cache line. */
struct limit_line {
	struct bpf_spin_lock lock; /* held for writing */
	__u32 tags[LIMIT_WAYS];    /* of the hash of source and limit */
	__u32 pad[3];
	/* When the bucket will be full again, CLOCK_MONOTONIC_COARSE in ns: from then
	 * on it is idle, and as good as none. */
	__u64 full[LIMIT_WAYS];
};

/* A port_range contains its ends. */
struct port_range {
	__u16 first;
	__u16 last;
};

/*
 * rule is one rule of a set. What it matches is in rule_set, rule_prefixes and
 * rule_ports, by its number in the set, the lowest deciding; protocol and ranges
 * are here for the host, which reads its rules back from the maps.
 */
struct rule {
	__u64 expires;
	__u32 id;    /* the host's own */
	__u32 salt;  /* tells the buckets of its sources from those of other limits */
	__u32 rate;
	__u32 burst;
	__u8 action; /* 0: there is no such rule */
	__u8 flags;
	__u8 slot; /* of rule_counts; it stays while the rule does, in whatever set */
	__u8 protocol;
	__u8 port_count;
	__u8 source_port_count;
	__u16 pad;
	struct port_range ports[RULE_RANGES];
	struct port_range source_ports[RULE_RANGES];
};

/* rule_set classifies packets: in each mask, one bit for each rule of the set. */
struct rule_set {
	__u64 classes[RULE_CLASSES];
	__u64 portless; /* rules that name no ports */
	__u64 from_any; /* rules that name no source */
	__u64 to_any;   /* rules that name no destination */
	__u32 needs;
	__u32 pad[9];
};

/* rule_key is a prefix that rules name. */
struct rule_key {
	__u32 prefix_len; /* 32 more than that of the address */
	__u32 scope;      /* half | six << 1 | 4 for a destination */
	__u32 addr[4];
	__u32 pad; /* as in lpm4 */
};

struct rule_prefix {
	__u64 mask; /* the rules that match here: of this prefix, of all around it, and from_any or to_any */
	__u64 own;  /* the rules that name this very prefix */
};

/* rule_count belongs to one processor, for one slot of a rule. */
struct rule_count {
	__u64 hits;
	__u64 passes;
	__u64 would_drops;
};

/* The addresses in keys of tries are padded to whole 64-bit words: right behind
 * them the kernel puts the value, whose counters have to be aligned. */
struct lpm4 {
	__u32 prefix_len;
	__u32 addr;
	__u32 pad;
};

struct address {
	__u64 hi;
	__u64 lo;
};

struct lpm6 {
	__u32 prefix_len;
	__u32 addr[4];
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* table_loss counts what a slot table could not keep. */
struct table_loss {
	__u64 evicted;         /* slots given to another key within an epoch */
	__u64 evicted_packets; /* the packets those had counted */
	__u64 missed_packets;  /* packets that found no slot */
};

/* cpu_state belongs to one processor; nobody else writes it. */
struct cpu_state {
	struct counter protocols[PROTOCOL_COUNT];
	struct counter verdicts[VERDICT_COUNT];
	struct counter drops[REASON_COUNT];
	struct counter would_drops[REASON_COUNT];
	__u64 malformed[MALFORMED_COUNT];
	struct counter fragments; /* later fragments, judged by address alone */
	struct counter deep_vlan; /* more VLAN tags than are followed */
	struct table_loss sources;
	struct table_loss destinations;
	struct counter limited;      /* had a limit, and were within it */
	struct counter limit_missed; /* had a limit, and found no bucket: they passed */
	__u32 drop_epoch;            /* the epoch of, */
	__u32 epoch_drops;           /* how many packets were dropped */
	__u64 pad[2];
};

/*
 * slot_use says which slots of a bucket are in use, since the epoch in which the
 * first of them was taken. The tag of a slot is 16 bits of the hash of its key, 0
 * while the slot is free.
 */
struct slot_use {
	__u32 epoch;
	__u32 used;           /* how many */
	__u64 tags[WAYS / 4]; /* four each, the first in the lowest bits */
	__u64 pad[5];
};

/*
 * source_slot sums up one source address in one epoch. Of an IPv4 source whose
 * packets are of a usual kind and of one flow, as of a forged one, it is all there
 * is, one cache line.
 */
struct source_slot {
	struct address addr;
	__u64 bytes;
	__u32 owner; /* epoch << 1 | 1 for IPv6 */
	__u32 packets;
	__u32 last;   /* hash of the last destination and port */
	__u32 misses; /* packets of others that wanted this slot */
	__u32 first;  /* the first destination, if there is no detail */
	__u16 first_port;
	__u16 detailed; /* 1: the rest is in source_detail */
	__u32 counts[HOT_CLASSES];
};

struct source_bucket {
	struct slot_use use;
	struct source_slot slots[WAYS];
};

struct source_detail {
	__u64 ports[PORT_BITS / 64];
	struct address last_destination;
	__u32 counts[CLASS_COUNT - HOT_CLASSES];
	__u16 service; /* source port of the last packet of CLASS_REFLECT */
	__u8 odd;      /* bits of enum odd */
	__u8 samples;  /* used elements of sample */
	__u16 sample[PORT_SAMPLE];
	__u64 peers; /* bitmap of destination addresses */
};

/* destination_slot sums up one destination address and port in one epoch. */
struct destination_slot {
	struct address addr;
	__u32 owner;
	__u32 packets;
	__u64 bytes;
	__u32 misses;
	__u16 port; /* 0 for what has no port */
	__u16 service; /* as in source_detail */
	__u32 counts[CLASS_COUNT];
	__u8 odd; /* bits of enum odd */
	__u8 pad[3];
	__u64 peers[PEER_BITS / 64]; /* bitmap of source addresses */
};

struct destination_bucket {
	struct slot_use use;
	struct destination_slot slots[WAYS];
};

/* filter_line has a bit for each /24 of a /16. */
struct filter_line {
	__u64 words[256 / 64];
};

struct filter6_line {
	__u8 flags[LINE];
};

#endif
