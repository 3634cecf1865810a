package service

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of what is told of one process. A table of mappings has about 100 bytes a
// line, and the kernel allows 65,530 lines unless somebody set another number.
const (
	maxFiles       = 4096
	maxFileBytes   = 512 << 10
	maxTableBytes  = 16 << 20
	maxDescriptors = 4096
	maxPath        = 4096
)

// maxMappedBytes ends a reply: with what one process more may add it stays below the
// largest message.
const maxMappedBytes = 1 << 20

// mapped tells what processes have loaded. One call of a plugin is answered at a time:
// it costs the machine more than others.
func (s *Session) mapped(ask *pb.ListMapped) (*pb.HostReply, error) {
	pids, err := s.asked(ask.Pids)
	if err != nil {
		return nil, err
	}
	s.mapping.Lock()
	defer s.mapping.Unlock()
	l, err := newLooker()
	if err != nil {
		return nil, err
	}
	reply := new(pb.HostReply)
	for _, pid := range pids {
		if pid <= ask.After {
			continue
		}
		if len(reply.Mapped) == maxProcesses || l.files.bytes > maxMappedBytes {
			reply.More = true
			break
		}
		p, err := l.look(pid)
		switch {
		case errors.Is(err, errNoProcess):
		case err != nil:
			return nil, err
		case p.Unseen || len(p.Files) > 0 || p.More:
			l.files.bytes += len(p.Root) + len(p.Process.ControlGroup) + len(p.Process.Executable) + 4*len(p.Files)
			reply.Mapped = append(reply.Mapped, p)
		}
	}
	reply.Files = l.files.list
	return reply, nil
}

// asked returns the ids that a call is about, in order.
func (s *Session) asked(pids []uint32) ([]uint32, error) {
	if !slices.Contains(s.granted.Services, processService) {
		return nil, fmt.Errorf("service %q was not granted", processService)
	}
	if len(pids) > maxProcessIDs {
		return nil, fmt.Errorf("%d process ids, at most %d are looked at", len(pids), maxProcessIDs)
	}
	pids = slices.Clone(pids)
	if len(pids) == 0 {
		var err error
		if pids, err = processIDs(); err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// mapping is a line of /proc/PID/maps (proc_pid_maps(5)). Its bytes are those of the
// line.
type mapping struct {
	// span is the first and the last address, as map_files calls it.
	span          []byte
	device, inode uint64
	// executed is false for archives.
	executed bool
	// path is as the kernel writes it there: line feeds are written as \012, and
	// nothing else is.
	path []byte
}

// parseMapping reads a line. false is a mapping that is not told of: of no file, or
// neither to be executed nor of an archive.
func parseMapping(line []byte) (m mapping, ok bool) {
	span, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(rest) < len("r-xp ") || rest[4] != ' ' {
		return mapping{}, false
	}
	executed := rest[2] == 'x'
	at := bytes.IndexByte(rest, '/')
	if at < len("r-xp ") || !executed && !archive(rest[at:]) {
		return mapping{}, false
	}
	fields := rest[5:at] // offset, device, inode
	_, fields, ok = bytes.Cut(fields, []byte(" "))
	if !ok {
		return mapping{}, false
	}
	device, fields, ok := bytes.Cut(fields, []byte(" "))
	if !ok {
		return mapping{}, false
	}
	major, minor, ok := bytes.Cut(device, []byte(":"))
	if !ok {
		return mapping{}, false
	}
	a, okMajor := number(major, 16)
	b, okMinor := number(minor, 16)
	inode, okInode := number(bytes.TrimRight(fields, " "), 10)
	if !okMajor || !okMinor || !okInode || inode == 0 || a > 1<<32-1 || b > 1<<32-1 {
		return mapping{}, false
	}
	return mapping{span, deviceNumber(uint32(a), uint32(b)), inode, executed, rest[at:]}, true
}

// number reads digits, without a sign or anything else.
func number(text []byte, base uint64) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	for _, c := range text {
		var digit uint64
		switch {
		case '0' <= c && c <= '9':
			digit = uint64(c - '0')
		case base == 16 && 'a' <= c && c <= 'f':
			digit = uint64(c-'a') + 10
		default:
			return 0, false
		}
		if n > (1<<64-1-digit)/base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}

// deviceNumber is a device as stat(2) has it, makedev(3).
func deviceNumber(major, minor uint32) uint64 {
	return uint64(minor)&0xff | (uint64(major)&0xfff)<<8 | (uint64(minor)&^0xff)<<12 | (uint64(major)&^0xfff)<<32
}

// gone is what the kernel writes behind the path of a file whose name is gone. A name
// may end so as well.
var gone = []byte(" (deleted)") //nolint:gochecknoglobals // it is never written

// archives are endings of files that interpreters run without mapping them to be
// executed.
func archive(path []byte) bool {
	path = bytes.TrimSuffix(path, gone)
	dot := bytes.LastIndexByte(path, '.')
	if dot < 0 || len(path)-dot > len(".jmod") || dot+1 == len(path) {
		return false
	}
	var lower [5]byte
	ending := lower[:copy(lower[:], path[dot+1:])]
	for i, c := range ending {
		if 'A' <= c && c <= 'Z' {
			ending[i] = c + 'a' - 'A'
		}
	}
	switch string(ending) {
	case "jar", "war", "ear", "jmod", "par", "sar", "jpi", "hpi", "lpkg", "nar", "zip", "egg", "whl", "pyz", "phar", "dll":
		return true
	}
	return false
}

// unescaped turns what the kernel writes for line feeds back into them.
func unescaped(path []byte) []byte { return bytes.ReplaceAll(path, escaped, []byte("\n")) }

// escaped is how a line feed is written; a name may hold it as well.
var escaped = []byte(`\012`) //nolint:gochecknoglobals // it is never written

// fileKey names a file before its path is taken apart. space is the mount namespace
// where the path has to be taken apart by a look, else 0.
type fileKey struct {
	device, inode, space uint64
	executed             bool
	path                 string
}

// files are the files of a reply, each once.
type files struct {
	list  []*pb.MappedFile
	index map[fileKey]uint32
	// seen holds, for each file, the number of the last process that has it.
	seen    []uint32
	process uint32
	bytes   int
}
