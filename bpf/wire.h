/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */

/* What lies on the wire: the headers of frames, and their numbers. */
#ifndef IRONPOST_WIRE_H
#define IRONPOST_WIRE_H

#include "xdp.h"

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

#endif
