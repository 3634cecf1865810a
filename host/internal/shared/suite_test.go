package shared

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// engineOf is an Engine as the suite asks it.
type engineOf struct{ Engine }

func (e engineOf) Apply(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	return e.ApplyShared(ctx, req)
}

// frontOf is a Front as the suite asks it: the keys that it gives have a plugin's name
// before them, which the front puts there itself.
type frontOf struct{ front *Front }

func (f frontOf) Apply(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	plain := &pb.SharedRequest{}
	for _, op := range req.Operations {
		_, key, _ := strings.Cut(string(op.Key), "\x00")
		plain.Operations = append(plain.Operations, &pb.SharedOperation{Key: []byte(key), Span: op.Span, Operation: op.Operation})
	}
	return f.front.Apply(ctx, "sdktest", plain)
}

// TestCounting holds every engine of the host's to what state plugins are held to.
func TestCounting(t *testing.T) {
	for _, engine := range []struct {
		name string
		open func(suite.TB) suite.Applier
	}{
		{"local", func(suite.TB) suite.Applier { return engineOf{NewLocal(Limits{})} }},
		{"alone", func(suite.TB) suite.Applier { return frontOf{New(Config{})} }},
		{"cut off", func(suite.TB) suite.Applier {
			f := New(Config{})
			f.Use("state", &wire{fault: cut})
			return frontOf{f}
		}},
		{"together", func(tb suite.TB) suite.Applier {
			f := New(Config{Timeout: 10 * time.Second})
			f.Use("state", NewLocal(Limits{}))
			f.merge(tb.Context())
			return frontOf{f}
		}},
	} {
		t.Run(engine.name, func(t *testing.T) {
			for _, c := range suite.Counting(engine.open) {
				t.Run(c.Name, func(t *testing.T) { c.Run(t) })
			}
		})
	}
}
