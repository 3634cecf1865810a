package service

import (
	"os/exec"
	"syscall"
)

// confine makes the command die with the host.
func confine(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
