/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* Counting a packet in the slots of its source and its destination. */
#ifndef IRONPOST_SLOTS_H
#define IRONPOST_SLOTS_H

#include "packet.h"

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

	/* That the multiples of an IPv4 address's key, and a port's, are spread evenly
	 * was seen to when the keys were drawn; an IPv6 address counts in its last bytes,
	 * which reach the upper bits of the product alone. */
	if (p->six)
		dst = scatter(dst + p->dst.lo * hash_keys[1]);
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

#endif
