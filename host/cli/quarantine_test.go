//go:build linux

package cli

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// poisonID is the id of the one record in the quarantine of the backend.
const poisonID = "8a51f0c2d3e4b6a7"

func (b *backend) ListQuarantine(context.Context) ([]*ironpostv1.QuarantinedRecord, error) {
	if b.quarantineIsEmpty() {
		return nil, nil
	}
	return []*ironpostv1.QuarantinedRecord{{
		Id: poisonID, Plugin: "parser-acme", Kind: "parser", Stream: "/var/log/acme.log", Sequence: 4711,
		Time: timestamppb.New(began), Reason: "process 7 ended: exit code 2" + hostile, Size: 2048,
	}}, nil
}

func (b *backend) quarantineIsEmpty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state[poisonID] == "dropped"
}

func (b *backend) ShowQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error) {
	list, err := b.ListQuarantine(ctx)
	if id != poisonID || len(list) == 0 {
		return nil, fmt.Errorf("%w: no record %s; see: ironpost quarantine list", control.ErrNotFound, id)
	}
	list[0].Record, list[0].Text, list[0].Bytes = "raw", "bad line"+hostile, []byte("bad line\x00")
	return list[0], err
}

func (b *backend) ReplayQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error) {
	return b.ShowQuarantine(ctx, id)
}

func (b *backend) DropQuarantine(ctx context.Context, id string) (*ironpostv1.QuarantinedRecord, error) {
	r, err := b.ShowQuarantine(ctx, id)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state[id] = "dropped"
	return r, err
}
