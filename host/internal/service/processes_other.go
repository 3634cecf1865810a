//go:build !linux

package service

import (
	"errors"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

var errLinux = errors.New("the service processes needs Linux")

func processIDs() ([]uint32, error) { return nil, errLinux }

func lookAt(uint32) (*pb.Process, error) { return nil, errLinux }
