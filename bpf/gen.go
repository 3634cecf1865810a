// Package bpf holds the packet filter: its C source, the object that the
// compiler made of it, and the Go types of its maps.
//
// xdp.c is the program, made of the headers beside it, of which xdp.h is what it
// shares with the host. The object and xdp_bpfel.go are generated from them and
// committed, so that building Ironpost needs no C compiler:
//
//	go generate ./bpf   # needs clang, llvm-strip and the headers of libbpf
//
// Only the XDP engine of the host imports this package. Its content exists on
// Linux alone; the package is empty elsewhere.
package bpf

//go:generate go tool bpf2go -tags linux -target bpfel -type protocol -type verdict -type reason -type malformed -type class -type odd -type action -type entry_flag -type setting -type filter -type rule_class -type rule_need -type drop_unit -type counter -type table_loss -type slot_use -type source_slot -type destination_slot -type capture -type port_range XDP xdp.c -- -O2 -g -mcpu=v3 -Wall -Wextra -Werror -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
