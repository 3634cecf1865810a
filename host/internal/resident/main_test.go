package resident

import (
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// listenEnv makes the test binary a server instead: it listens there, says so, and
// ends with its standard input.
const listenEnv = "IRONPOST_TEST_LISTEN"

func TestMain(m *testing.M) {
	if address := os.Getenv(listenEnv); address != "" {
		os.Exit(listen(address))
	}
	goleak.VerifyTestMain(m)
}

func listen(address string) int {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer l.Close()
	fmt.Println("listening")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}
