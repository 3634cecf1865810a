// Package action records what is done about alerts, and bounds what enforcers bring
// into the record. It is for those who decide: packages respond and guard.
package action

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what an enforcer's intent may bring into the journal; what is longer
// is cut, what is more is left out.
const (
	MaxText    = 256
	MaxReason  = 1024
	MaxDetails = 32
)

// Cut shortens a text to n bytes at most, whole characters, valid UTF-8.
func Cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Journal is where plans and outcomes are kept: a state.Journal.
type Journal interface {
	Append(kind uint8, data []byte) (uint64, error)
	Wait(ctx context.Context, index uint64) error
}

// Append gives an action event its time and puts it into the journal; Wait tells when
// it is on the disk.
func Append(j Journal, now time.Time, a *pb.ActionEvent) (index uint64, err error) {
	a.Time = uint64(now.UnixNano())
	data, err := proto.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("encode an action: %w", err)
	}
	if index, err = j.Append(uint8(pb.Kind_KIND_ACTION), data); err != nil {
		return 0, fmt.Errorf("record an action: %w", err)
	}
	return index, nil
}

// Wait returns when an action that was appended is on the disk.
func Wait(ctx context.Context, j Journal, index uint64) error {
	if err := j.Wait(ctx, index); err != nil {
		return fmt.Errorf("record an action: %w", err)
	}
	return nil
}
