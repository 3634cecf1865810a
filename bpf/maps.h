/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* The maps of the program, and the numbers that the host sets before it loads it. */
#ifndef IRONPOST_MAPS_H
#define IRONPOST_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "xdp.h"

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

#endif
