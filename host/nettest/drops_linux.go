package nettest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// XDPDrops returns how many packets an XDP program has dropped at this end of the
// pair, as the driver counts them: whoever is in a hurry need not ask Ironpost.
func (n *Namespace) XDPDrops() (drops uint64, err error) {
	err = n.Do(func() error {
		drops, err = xdpDrops(n.Interface)
		return err
	})
	return drops, err
}

// Of the interface of ethtool (include/uapi/linux/ethtool.h).
const (
	setStats   = 1 // ETH_SS_STATS
	maxStats   = 256
	stringSize = 32
)

func xdpDrops(name string) (drops uint64, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	// struct ethtool_gstrings and ethtool_stats: how many there are, and the rest.
	names := make([]byte, 12+maxStats*stringSize)
	binary.NativeEndian.PutUint32(names, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(names[4:], setStats)
	if err := ethtool(fd, name, names); err != nil {
		return 0, fmt.Errorf("read the names of the statistics of %s: %w", name, err)
	}
	values := make([]byte, 8+maxStats*8)
	binary.NativeEndian.PutUint32(values, unix.ETHTOOL_GSTATS)
	if err := ethtool(fd, name, values); err != nil {
		return 0, fmt.Errorf("read the statistics of %s: %w", name, err)
	}
	for i := range min(binary.NativeEndian.Uint32(names[8:]), binary.NativeEndian.Uint32(values[4:]), maxStats) {
		text, _, _ := bytes.Cut(names[12+i*stringSize:][:stringSize], []byte{0})
		if strings.HasSuffix(string(text), "_xdp_drops") {
			drops += binary.NativeEndian.Uint64(values[8+i*8:])
		}
	}
	return drops, nil
}

// ethtool makes a request about an interface; the answer takes its place.
func ethtool(fd int, name string, request []byte) error {
	// struct ifreq: the name and, of the union, the pointer.
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], name)
	ifreq.data = unsafe.Pointer(&request[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	return nil
}
