//go:build linux && (amd64 || arm64)

package bpf

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestLayout compares the Go types with the type information of the object,
// field by field: the host reads these structures from mapped memory.
func TestLayout(t *testing.T) {
	spec, err := LoadXDP()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]any{
		"settings": XDPSettings{}, "entry": XDPEntry{}, "lpm4": XDPLpm4{}, "lpm6": XDPLpm6{},
		"address": XDPAddress{}, "counter": XDPCounter{},
		"table_loss": XDPTableLoss{}, "cpu_state": XDPCpuState{}, "source_slot": XDPSourceSlot{},
		"destination_slot": XDPDestinationSlot{}, "slot_use": XDPSlotUse{}, "source_bucket": XDPSourceBucket{}, "destination_bucket": XDPDestinationBucket{}, "source_detail": XDPSourceDetail{}, "filter_line": XDPFilterLine{},
		"filter6_line": XDPFilter6Line{}, "limit_line": XDPLimitLine{}, "rule": XDPRule{}, "rule_set": XDPRuleSet{},
		"rule_key": XDPRuleKey{}, "rule_prefix": XDPRulePrefix{}, "rule_count": XDPRuleCount{}, "port_range": XDPPortRange{},
	}
	for name, value := range types {
		t.Run(name, func(t *testing.T) {
			var c *btf.Struct
			if err := spec.Types.TypeByName(name, &c); err != nil {
				t.Fatal(err)
			}
			compare(t, c, reflect.TypeOf(value))
		})
	}
}

func compare(t *testing.T, c *btf.Struct, g reflect.Type) {
	t.Helper()
	if got, want := uint64(g.Size()), uint64(c.Size); got != want {
		t.Errorf("%s: Go size %d, C size %d", c.Name, got, want)
	}
	var fields []reflect.StructField
	for f := range g.Fields() {
		if f.Name != "_" {
			fields = append(fields, f)
		}
	}
	if len(fields) != len(c.Members) {
		t.Fatalf("%s: Go has %d fields, C %d", c.Name, len(fields), len(c.Members))
	}
	for i, m := range c.Members {
		f := fields[i]
		if want := strings.ReplaceAll(m.Name, "_", ""); !strings.EqualFold(f.Name, want) {
			t.Errorf("%s: field %d is %s in Go, %s in C", c.Name, i, f.Name, m.Name)
		}
		if got, want := uint64(f.Offset), uint64(m.Offset.Bytes()); got != want {
			t.Errorf("%s.%s: Go offset %d, C offset %d", c.Name, m.Name, got, want)
		}
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := int(f.Type.Size()), size; got != want {
			t.Errorf("%s.%s: Go size %d, C size %d", c.Name, m.Name, got, want)
		}
	}
}

// TestCacheLines holds what the speed of the program rests on.
func TestCacheLines(t *testing.T) {
	var (
		source      XDPSourceSlot
		destination XDPDestinationSlot
		cpu         XDPCpuState
		limit       XDPLimitLine
		rules       XDPRuleSet
	)
	for _, c := range []struct {
		name string
		size uintptr
	}{
		{"source_slot", reflect.TypeOf(source).Size()},
		{"destination_slot", reflect.TypeOf(destination).Size()},
		{"cpu_state", reflect.TypeOf(cpu).Size()},
		{"limit_line", reflect.TypeOf(limit).Size()},
		{"rule_set", reflect.TypeOf(rules).Size()},
	} {
		if c.size%lineSize != 0 {
			t.Errorf("%s takes %d bytes, not whole cache lines", c.name, c.size)
		}
	}
}

// lineSize is LINE of xdp.h.
const lineSize = 64
