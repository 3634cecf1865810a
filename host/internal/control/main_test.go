//go:build linux

package control_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// clientEnv makes the test binary a client of the socket that it names; see
// asOther.
const clientEnv = "IRONPOST_CONTROL_TEST_CLIENT"

func TestMain(m *testing.M) {
	if socket := os.Getenv(clientEnv); socket != "" {
		actAsClient(socket)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// actAsClient prints what became of a call that reads and one that changes.
func actAsClient(socket string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := control.Dial(ctx, socket)
	if err != nil {
		fmt.Printf("open: %s\n", kindOf(err))
		return
	}
	defer func() { _ = client.Close() }()
	_, err = client.Status(ctx, &ironpostv1.StatusRequest{})
	fmt.Printf("read: %s\n", kindOf(err))
	_, err = client.AddBlock(ctx, &ironpostv1.BlockRequest{Prefix: "192.0.2.7"})
	fmt.Printf("change: %s\n", kindOf(err))
}

func kindOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, control.ErrDenied):
		return "denied"
	}
	return err.Error()
}
