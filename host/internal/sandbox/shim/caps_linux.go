//go:build amd64 || arm64

package shim

import (
	"errors"

	"golang.org/x/sys/unix"
)

// dropBounding empties the capability bounding set, so that no program that
// is executed later, also by user 0, can gain a capability. A process without CAP_SETPCAP
// cannot, and need not: no_new_privs keeps it from gaining any.
func dropBounding() error {
	for c := range uintptr(64) {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) { // past the last capability of this kernel
			return nil
		}
		if errors.Is(err, unix.EPERM) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeInheritable makes a capability that the thread has inheritable. Without
// it the thread stays as it is.
func makeInheritable(capability uint) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	if sets[0].Permitted&(1<<capability) == 0 {
		return nil
	}
	sets[0].Inheritable |= 1 << capability
	return unix.Capset(&header, &sets[0])
}

// setCapabilities leaves this thread, and the program that it executes,
// with CAP_DAC_READ_SEARCH alone if read is set and the thread has it, and
// else with none. It returns whether the capability is held.
func setCapabilities(read bool) (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var old, now [2]unix.CapUserData
	if err := unix.Capget(&header, &old[0]); err != nil {
		return false, err
	}
	const bit = 1 << unix.CAP_DAC_READ_SEARCH
	granted := read && old[0].Permitted&bit != 0
	if granted {
		now[0] = unix.CapUserData{Effective: bit, Permitted: bit, Inheritable: bit}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return false, err
	}
	if err := unix.Capset(&header, &now[0]); err != nil {
		return false, err
	}
	if granted {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_DAC_READ_SEARCH, 0, 0); err != nil {
			return false, err
		}
	}
	return granted, nil
}
