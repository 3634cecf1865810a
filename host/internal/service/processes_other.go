//go:build !linux

package service

import (
	"errors"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

var errLinux = errors.New("the service processes needs Linux")

func processIDs() ([]uint32, error) { return nil, errLinux }

// looker needs Linux.
type looker struct {
	files files
	buf   []byte
}

func newLooker() (*looker, error) { return nil, errLinux }

func (*looker) lookAt(uint32) (*pb.Process, error) { return nil, errLinux }

func (*looker) look(uint32) (*pb.MappedProcess, error) { return nil, errLinux }
