package roster

import (
	"os"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Confine returns the sandbox of a plugin that is granted what it asks for, for who
// runs one plugin without a roster. section is the plugin's own; uid 0 keeps the
// host's user. Listeners are left to the caller. Directories that the plugin may
// write and that do not exist are made.
func Confine(asked *pb.Permissions, section map[string]any, uid uint32) (sandbox.Spec, error) {
	granted, _ := (*grant)(nil).limit(asked, section)
	s := sandbox.Spec{
		Env: []string{"GOMAXPROCS=1"}, UID: uid, GID: uid,
		BaseRead: granted.GetBaseFiles(), NewProcesses: granted.GetProcesses(), Network: len(granted.GetConnect()) > 0,
		ConnectPorts: connectPorts(granted.GetConnect()),
		ReadPaths:    readable(granted.GetRead()), MaxMemory: config.DefaultMemoryBytes,
	}
	if zone := localZone(); zone != "" {
		s.Env = append(s.Env, "TZ="+zone)
	}
	s.ReadCapability = len(s.ReadPaths) > 0 && os.Geteuid() == 0
	for _, path := range granted.GetWrite() {
		dir, err := writable(path, uid)
		if err != nil {
			return s, err
		}
		if dir != "" {
			s.WritePaths = append(s.WritePaths, dir)
		}
	}
	return s, nil
}

// Listens returns the addresses that the host binds for a plugin.
func Listens(asked *pb.Permissions, section map[string]any) []string {
	granted, _ := (*grant)(nil).limit(asked, section)
	return granted.GetListen()
}

// SectionOf returns the declaration of the plugin's section of the configuration.
func SectionOf(d *pb.Description) config.Section { return sectionOf(d) }

// Validate refuses a description that the host could not work with.
func Validate(d *pb.Description) error { return validate(d) }
