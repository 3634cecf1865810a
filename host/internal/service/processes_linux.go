package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/resident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// processIDs lists the processes of the machine.
func processIDs() ([]uint32, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []uint32
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			out = append(out, uint32(pid))
		}
	}
	return out, nil
}

// lookAt reads what there is to tell of one process, or returns errNoProcess.
func (l *looker) lookAt(pid uint32) (*pb.Process, error) {
	o, err := l.open(pid)
	if err != nil {
		return nil, err
	}
	defer o.close()
	p, err := o.process(pid)
	if err != nil {
		return nil, err
	}
	// A kernel thread has none, and that of another user needs rights.
	if exe, err := o.link("exe"); err == nil {
		p.Executable = bytes.Clone(exe)
	}
	return p, nil
}

// process reads what it is, all but its program.
func (o *opened) process(pid uint32) (*pb.Process, error) {
	stat, err := o.read("stat")
	if err != nil {
		return nil, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p.Pid = pid
	status, err := o.read("status")
	if err != nil {
		return nil, err
	}
	p.Uid = effectiveUser(status)
	group, err := o.read("cgroup")
	if err != nil {
		return nil, err
	}
	p.ControlGroup = controlGroup(group)
	in := resident.ContainerIn(group)
	p.Container, p.Delegate = in.ID, in.Delegate
	return p, nil
}

// read returns a short file, in the looker's buffer.
func (o *opened) read(name string) ([]byte, error) {
	fd, err := unix.Openat(o.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, ended(err)
	}
	defer func() { _ = unix.Close(fd) }() // it was read only
	for n := 0; n < len(o.buf); {
		got, err := unix.Read(fd, o.buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, ended(err)
		case got == 0:
			return o.buf[:n], nil
		}
		n += got
	}
	return o.buf, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The name in it is the
// process's to choose, and may hold blanks, line feeds and parentheses.
func parseStat(stat []byte) (*pb.Process, error) {
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return nil, errors.New("no name in its stat")
	}
	fields := bytes.Fields(stat[end+1:]) // from field 3 on
	const parent, start = 4 - 3, 22 - 3
	if len(fields) <= start {
		return nil, errors.New("its stat is too short")
	}
	ppid, err := strconv.ParseUint(string(fields[parent]), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("its parent: %w", err)
	}
	ticks, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("its start: %w", err)
	}
	return &pb.Process{Parent: uint32(ppid), StartedTicks: ticks, Name: bytes.Clone(stat[begin+1 : end])}, nil
}

// effectiveUser reads the line "Uid:" of /proc/PID/status: real, effective,
// saved, file system. The kernel escapes line feeds in the name above it.
func effectiveUser(status []byte) uint32 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			if f := bytes.Fields(rest); len(f) > 1 {
				if uid, err := strconv.ParseUint(string(f[1]), 10, 32); err == nil {
					return uint32(uid)
				}
			}
		}
	}
	return ^uint32(0) // the user that nobody is
}

// controlGroup picks the path of version 2 out of /proc/PID/cgroup
// (cgroups(7)), or the first that is not the root.
func controlGroup(groups []byte) []byte {
	best := []byte("/")
	for line := range bytes.Lines(groups) {
		parts := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(":"), 3)
		if len(parts) != 3 || len(parts[2]) == 1 && parts[2][0] == '/' {
			continue
		}
		if v2 := len(parts[1]) == 0; v2 {
			return bytes.Clone(parts[2])
		}
		if len(best) == 1 {
			best = bytes.Clone(parts[2])
		}
	}
	return best
}
