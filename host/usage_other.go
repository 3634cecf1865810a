//go:build !linux

package host

import pb "github.com/ironpost/ironpost/proto/ironpost/v1"

// usage is known on Linux alone.
func usage(*pb.StatusResponse) {}
