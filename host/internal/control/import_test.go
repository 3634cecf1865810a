//go:build linux

package control_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// chunkOf packs networks into a chunk.
func chunkOf(prefixes ...string) *ironpostv1.BlockChunk {
	var n control.Networks
	for _, p := range prefixes {
		n.Add(netip.MustParsePrefix(p))
	}
	return &ironpostv1.BlockChunk{V4: n.V4, V6: n.V6}
}

// importAll sends chunks and returns the answer.
func importAll(t *testing.T, client *control.Client, chunks ...*ironpostv1.BlockChunk) (*ironpostv1.ImportResponse, error) {
	t.Helper()
	stream, err := client.ImportBlocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		if stream.Send(c) != nil {
			break // the answer says why
		}
	}
	return stream.CloseAndRecv()
}

func TestImport(t *testing.T) {
	options := &ironpostv1.ImportOptions{List: "drop", TtlSeconds: 60, Reason: "r"}
	first, second := chunkOf("192.0.2.0/24", "2001:db8::/32"), chunkOf("198.51.100.1/32")
	first.Options, second.Total = options, 3
	last := func(total uint64) *ironpostv1.BlockChunk { return &ironpostv1.BlockChunk{Total: total} }
	for _, tt := range []struct {
		name   string
		chunks []*ironpostv1.BlockChunk
		says   string // "" for what is handed over
	}{
		{"whole", []*ironpostv1.BlockChunk{first, second}, ""},
		{"nothing", []*ironpostv1.BlockChunk{{Options: options}}, ""},
		{"cut off", []*ironpostv1.BlockChunk{first}, "cut off: 2 networks came of 0"},
		{"a chunk is missing", []*ironpostv1.BlockChunk{first, last(3)}, "cut off: 2 networks came of 3"},
		{"more after the end", []*ironpostv1.BlockChunk{second, first}, "goes on after its end"},
		{"half a network", []*ironpostv1.BlockChunk{{V4: make([]byte, 7)}}, "no whole networks"},
		{"half an IPv6 network", []*ironpostv1.BlockChunk{{V6: make([]byte, 16)}}, "no whole networks"},
		{"no name", []*ironpostv1.BlockChunk{{Options: &ironpostv1.ImportOptions{List: "../x"}}}, "no name of a list"},
		{"no time", []*ironpostv1.BlockChunk{{Options: &ironpostv1.ImportOptions{TtlSeconds: -1}}}, "ttl"},
		{"a long reason", []*ironpostv1.BlockChunk{{Options: &ironpostv1.ImportOptions{Reason: strings.Repeat("x", 1025)}}}, "reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			_, client := serve(t, control.Config{Backend: f.backend()})
			_, err := importAll(t, client, tt.chunks...)
			if tt.says != "" {
				if !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || len(f.imports) > 0 {
					t.Errorf("got %v and %d imports, want invalid input that says %q, and none", err, len(f.imports), tt.says)
				}
				return
			}
			if err != nil || len(f.imports) != 1 || f.imports[0].List != "drop" || f.imports[0].Reason != "r" || f.imports[0].TTL.String() != "1m0s" {
				t.Errorf("got %v, %+v", err, f.imports)
			}
		})
	}
}

// TestImportIsBounded sends more networks than an import may have.
func TestImportIsBounded(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	chunk := &ironpostv1.BlockChunk{V4: bytes.Repeat([]byte{192, 0, 2, 0, 24}, 1<<17)}
	var chunks []*ironpostv1.BlockChunk
	for range control.MaxImport>>17 + 1 {
		chunks = append(chunks, chunk)
	}
	if _, err := importAll(t, client, chunks...); !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "more than 4194304 networks") {
		t.Errorf("got %v, want that it is too much", err)
	}
}

func TestPage(t *testing.T) {
	f := &fake{}
	_, client := serve(t, control.Config{Backend: f.backend()})
	for _, req := range []*ironpostv1.ListBlocksRequest{
		{}, {Limit: 5, Skip: 2, Source: "operator", List: "drop"}, {Limit: 1 << 30, After: "192.0.2.7", Within: "192.0.0.0/16"}, {Limit: 5, Count: true},
	} {
		if _, err := client.ListBlocks(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, q := range f.pages {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%v %d %d %v %s %s", q.After, q.Skip, q.Limit, q.Within, q.Source, q.List)))
	}
	want := []string{
		"invalid Prefix 0 1000 invalid Prefix", "invalid Prefix 2 5 invalid Prefix operator drop",
		"192.0.2.7/32 0 10000 192.0.0.0/16", "invalid Prefix 0 0 invalid Prefix",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if _, err := client.ListBlocks(t.Context(), &ironpostv1.ListBlocksRequest{After: "192.0.2.7/8"}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("got %v, want invalid input", err)
	}
}

func TestNetworks(t *testing.T) {
	var n control.Networks
	for _, p := range []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.1/32"} {
		n.Add(netip.MustParsePrefix(p))
	}
	var got []string
	for addr, bits := range n.All4() {
		got = append(got, netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, addr))), int(bits)).String())
	}
	for addr, bits := range n.All6() {
		got = append(got, netip.PrefixFrom(netip.AddrFrom16(addr), int(bits)).String())
	}
	if diff := cmp.Diff([]string{"192.0.2.0/24", "198.51.100.1/32", "2001:db8::/32"}, got); diff != "" || n.Len() != 3 {
		t.Errorf("%d networks (-want +got):\n%s", n.Len(), diff)
	}
	for size := 17; size < 50; size++ {
		var back control.Networks
		for left := n; left.Len() > 0; {
			var v4, v6 []byte
			v4, v6, left = left.Cut(size)
			if len(v4)+len(v6) > size {
				t.Fatalf("a part of %d bytes has %d", size, len(v4)+len(v6))
			}
			back.V4, back.V6 = append(back.V4, v4...), append(back.V6, v6...)
		}
		if diff := cmp.Diff(n, back); diff != "" {
			t.Errorf("cut into %d bytes (-want +got):\n%s", size, diff)
		}
	}
}
