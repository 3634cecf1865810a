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
	VERDICT_MONITORED = 2,  /* on the block list to be counted only */
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
	REASON_COUNT = 5,
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
 * The first four share a cache line with the key.
 */
enum class {
	CLASS_ACK = 0, /* TCP: ACK without SYN, FIN, RST */
	CLASS_SYN = 1, /* TCP: SYN without ACK */
	CLASS_UDP = 2,
	CLASS_ICMP = 3,
	CLASS_SYNACK = 4,
	CLASS_FIN = 5, /* TCP: FIN and ACK */
	CLASS_RST = 6,
	CLASS_ODD = 7,   /* TCP: flags that no stack sends together */
	CLASS_OTHER = 8, /* other protocols, later fragments, broken headers */
	CLASS_DROPPED = 9,
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

/* What an entry of the block list asks for. */
enum action {
	ACTION_DROP = 1,
	ACTION_MONITOR = 2,
	ACTION_LIMIT = 3, /* reserved; counts as ACTION_MONITOR */
};

/* Bits of entry.flags. */
enum entry_flag {
	ENTRY_DRY_RUN = 1, /* simulate this entry alone */
};

/* Bits of settings.flags. */
enum setting {
	SETTING_SIMULATE = 1,       /* drop nothing, count what would be */
	SETTING_LIST6 = 2,          /* the IPv6 block list has entries */
	SETTING_WIDE6 = 4,          /* it has prefixes shorter than /32 */
	SETTING_DROP_DEEP_VLAN = 8, /* drop what has more tags than are followed */
	SETTING_ALLOW4 = 16,        /* the IPv4 allow list may have entries */
	SETTING_ALLOW6 = 32,
	SETTING_CAPTURE = 64, /* show dropped packets to who captures them */
};

/* Bits of the filter tables: what kind of entry may match below. */
enum filter {
	FILTER_HOST = 1,   /* /32 or /128 */
	FILTER_NET = 2,    /* any other length */
	FILTER_SUBNET = 4, /* IPv6 only: /64 */
};

/* settings is the one value of the map settings; the host writes it. */
struct settings {
	__u32 epoch; /* from 1; its low bit selects the half of the slot tables */
	__u32 flags;
	__u64 seed; /* the host's own: hash_seed, which a program that takes the maps over needs */
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
	__u64 expires; /* CLOCK_MONOTONIC in ns; 0 is never */
	__u64 hits;    /* packets that this entry decided */
	__u32 rule;
	__u8 action;
	__u8 flags;
	__u8 prefix_len;
	__u8 generation; /* the host's own: which list it came with */
};

struct lpm4 {
	__u32 prefix_len;
	__u32 addr;
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
	__u64 pad[7];
};

/*
 * slot_tags are the tags of the slots of one bucket: the low 16 bits of the epoch
 * in which the slot was taken, above 16 bits of the hash of its key. They lie
 * apart from the slots, closely packed: to find a slot touches one line here
 * and one there, and to find all slots in use is to read through the tags.
 */
struct slot_tags {
	__u32 way[WAYS];
};

/*
 * source_slot sums up one source address in one epoch. A packet of the same
 * flow as the one before touches the first cache line alone.
 */
struct source_slot {
	struct address addr;
	__u32 owner; /* epoch << 1 | 1 for IPv6 */
	__u32 packets;
	__u64 bytes;
	__u64 peers;  /* bitmap of destination addresses */
	__u32 last;   /* hash of the last destination and port */
	__u32 misses; /* packets of others that wanted this slot */
	__u32 counts[CLASS_COUNT];
	__u16 service; /* source port of the last packet of CLASS_REFLECT */
	__u8 odd;      /* bits of enum odd */
	__u8 samples;  /* used elements of sample */
	__u64 ports[PORT_BITS / 64];
	struct address last_destination;
	__u16 sample[PORT_SAMPLE];
	__u64 pad;
};

/* destination_slot sums up one destination address and port in one epoch. */
struct destination_slot {
	struct address addr;
	__u32 owner;
	__u32 packets;
	__u64 bytes;
	__u32 misses;
	__u16 port; /* 0 for what has no port */
	__u16 service; /* as in source_slot */
	__u32 counts[CLASS_COUNT];
	__u8 odd; /* bits of enum odd */
	__u8 pad[3];
	__u64 peers[PEER_BITS / 64]; /* bitmap of source addresses */
};

/* filter_line is one cache line of a filter table. */
struct filter_line {
	__u64 words[LINE / 8];
};

struct filter6_line {
	__u8 flags[LINE];
};

#endif
