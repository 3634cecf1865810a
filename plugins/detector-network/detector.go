package main

import (
	"context"
	"iter"

	"github.com/ironpost/ironpost/plugins/detector-network/network"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// detector serves a network.Detector.
type detector struct {
	cfg     *network.Config
	packets *network.Detector // from setup on
	count   func(name string, n uint64)
	counted network.Stats
}

var (
	_ sdk.Detector = (*detector)(nil)
	_ sdk.Consumer = (*detector)(nil)
	_ sdk.Stateful = (*detector)(nil)
)

func (d *detector) setup(_ context.Context, env sdk.Env) error {
	packets, err := network.New(*d.cfg)
	if err != nil {
		return err
	}
	d.packets, d.count, d.counted = packets, env.Counter, network.Stats{}
	return nil
}

// Consumes asks for packet summaries alone.
func (d *detector) Consumes() []event.Kind { return []event.Kind{event.KindPacket} }

// Detect examines a batch of packet summaries.
func (d *detector) Detect(_ context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	for e := range batch.Packets() {
		d.packets.Packet(e, raise)
	}
	d.packets.Flush(raise)
	return nil
}

// Restore takes up what an earlier life saved.
func (d *detector) Restore(entries iter.Seq2[string, []byte]) error {
	return d.packets.Restore(entries)
}

// Save reports changed state, and the counters.
func (d *detector) Save(changes *sdk.Changes) {
	d.packets.Save(changes)
	if d.count == nil {
		return
	}
	now := d.packets.Stats()
	for _, c := range []struct {
		name        string
		now, before uint64
	}{
		{"late", now.Late, d.counted.Late},
		{"ignored", now.Ignored, d.counted.Ignored},
		{"evicted", now.Evicted, d.counted.Evicted},
		{"suppressed", now.Suppressed, d.counted.Suppressed},
		{"drowned", now.Drowned, d.counted.Drowned},
		{"state_corrupt", now.Corrupt, d.counted.Corrupt},
		{"state_unsaved", now.Unsaved, d.counted.Unsaved},
	} {
		if c.now > c.before {
			d.count(c.name, c.now-c.before)
		}
	}
	d.counted = now
}
