package link

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// checkPeer makes sure that the process pid listens at the other end
// (SO_PEERCRED, unix(7)).
func checkPeer(c *net.UnixConn, pid int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("check the plugin's socket: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("check the plugin's socket: %w", err)
	}
	if credErr != nil {
		return fmt.Errorf("check the plugin's socket: %w", credErr)
	}
	if int(cred.Pid) != pid {
		return fmt.Errorf("process %d answers on the plugin's socket, and the plugin is process %d", cred.Pid, pid)
	}
	return nil
}
