//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// interfaceIndex looks a name up; its error names the interfaces that exist.
func interfaceIndex(name string) (int, error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, fmt.Errorf("list interfaces: %w", err)
	}
	names := make([]string, 0, len(all))
	for _, i := range all {
		if i.Name == name {
			return i.Index, nil
		}
		names = append(names, i.Name)
	}
	return 0, fmt.Errorf("%w; there are: %s", ErrNoInterface, strings.Join(names, ", "))
}

// attach attaches the program, natively if the mode and the driver allow it,
// and returns the mode that came about.
func attach(program *ebpf.Program, index int, config Config) (link.Link, Mode, error) {
	if config.Mode != ModeGeneric {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPDriverMode})
		if err == nil {
			return l, ModeNative, nil
		}
		lacking := nativeLacking(err)
		if why := whyGeneric(index); lacking && why != "" {
			err = fmt.Errorf("%s: %w", why, err)
		}
		if config.Mode == ModeNative || !lacking {
			return nil, "", attachError(err, index, config)
		}
		config.Logger.Warn("driver has no native XDP for this interface, using the slower generic mode",
			"interface", config.Interface, "reason", err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPGenericMode})
	if err != nil {
		return nil, "", attachError(err, index, config)
	}
	return l, ModeGeneric, nil
}

// nativeLacking tells whether the driver, and not the caller, is why native
// mode was refused: it has none (EOPNOTSUPP), the MTU is too large for it
// (ERANGE; EINVAL in virtio_net), or it lacks queues (ENOMEM, ENOSPC).
func nativeLacking(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ERANGE, unix.EINVAL, unix.ENOMEM, unix.ENOSPC} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.Is(err, ebpf.ErrNotSupported)
}

func attachError(err error, index int, config Config) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("attach: %w: %w", ErrPermission, err)
	// EEXIST: a program of the other mode is attached.
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("attach: %w", busy(index, config))
	}
	return fmt.Errorf("attach: %w", err)
}

// attachedProgram returns the id of the program on an interface and its mode; a
// mode that is neither native nor generic is "".
func attachedProgram(index int) (uint32, Mode, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return 0, "", fmt.Errorf("ask for the interface's program: %w", err)
	}
	x := l.Attrs().Xdp
	if x == nil || !x.Attached {
		return 0, "", nil
	}
	switch x.AttachMode {
	case nl.XDP_ATTACHED_DRV:
		return x.ProgId, ModeNative, nil
	case nl.XDP_ATTACHED_SKB:
		return x.ProgId, ModeGeneric, nil
	}
	return x.ProgId, "", nil
}

// busy asks the kernel who is attached, to the interface or to one that is stacked
// on it; what it does not tell stays empty.
func busy(index int, config Config) *BusyError {
	e := &BusyError{Interface: config.Interface, Pins: pinsOn(config.PinDir, index)}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return e
	}
	if x := l.Attrs().Xdp; x == nil || !x.Attached {
		upper := upperWithProgram(index)
		if upper == nil {
			return e
		}
		l = upper
		e.Interface, e.Pins = l.Attrs().Name, pinsOn(config.PinDir, l.Attrs().Index)
	}
	e.ProgramID = l.Attrs().Xdp.ProgId
	e.ProgramName = programNamed(e.ProgramID)
	return e
}
