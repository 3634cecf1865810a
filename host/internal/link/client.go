package link

import "google.golang.org/grpc"

// Client returns the connection for calls that Conn does not offer, such as those
// of the conformance suite. It lives as long as Conn does.
func (c *Conn) Client() grpc.ClientConnInterface { return c.grpc }
