package control

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// stalled is a stream on which nothing comes until it ends.
type stalled struct {
	grpc.ClientStreamingServer[ironpostv1.BlockChunk, ironpostv1.ImportResponse]
	ended chan struct{}
}

func (s stalled) Recv() (*ironpostv1.BlockChunk, error) {
	<-s.ended
	return nil, io.ErrUnexpectedEOF
}

// TestStalledImport: who stops in the middle of an import, as a process does that
// is suspended, does not keep others from theirs.
func TestStalledImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stalled{ended: make(chan struct{})}
		defer close(s.ended)
		if _, err := receiveSoon(s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "did not arrive") {
			t.Errorf("got %v", err)
		}
	})
}
