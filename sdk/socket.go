package sdk

import (
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// socketBuffer is asked for on the link's socket, as the host does on its end: a
// batch that fits is written in one call, without the two processes waking each
// other for every part of it.
const socketBuffer = 4 << 20

// roomy is no security - who may connect is a matter of the socket's directory -
// but the place where gRPC shows a connection before it is used.
type roomy struct{ credentials.TransportCredentials }

func newRoomy() credentials.TransportCredentials { return roomy{insecure.NewCredentials()} }

// ServerHandshake asks for large buffers; smaller ones cost speed alone.
func (r roomy) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if s, ok := c.(*net.UnixConn); ok {
		_ = s.SetReadBuffer(socketBuffer)
		_ = s.SetWriteBuffer(socketBuffer)
	}
	return r.TransportCredentials.ServerHandshake(c)
}

// Clone implements credentials.TransportCredentials.
func (r roomy) Clone() credentials.TransportCredentials { return roomy{r.TransportCredentials.Clone()} }
