//go:build !linux

package service

import "os/exec"

func confine(*exec.Cmd) {}
