/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* What the program knows of the packet at hand, and how it is hashed. */
#ifndef IRONPOST_PACKET_H
#define IRONPOST_PACKET_H

#include "maps.h"

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

#endif
