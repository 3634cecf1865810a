package control_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
)

// otherUID is the user that owns nothing (nobody on most systems).
const otherUID = 65534

// asOther runs this test binary as a client with another user and groups.
func asOther(t *testing.T, socket string, groups ...uint32) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{clientEnv + "=" + socket, "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUID, Gid: otherUID, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("client as uid %d: %v: %s", otherUID, err, out)
	}
	return string(out)
}

func TestOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	group, err := user.LookupGroupId("1")
	if err != nil {
		t.Skipf("needs a group with id 1: %v", err)
	}
	tests := []struct {
		name   string
		mode   os.FileMode // of the socket, when it is not left as it is
		groups []uint32
		want   string
	}{
		{"a stranger cannot open it", 0, nil, "open: denied\n"},
		{"whoever can open it reads", 0o666, nil, "read: ok\nchange: denied\n"},
		{"another group changes nothing", 0o666, []uint32{2, 3}, "read: ok\nchange: denied\n"},
		{"the group changes", 0, []uint32{3, 1}, "read: ok\nchange: ok\n"},
		{"many groups", 0, manyGroups(), "read: ok\nchange: ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
				if d == os.TempDir() {
					break
				}
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			socket := filepath.Join(dir, "s")
			f := &fake{}
			serve(t, control.Config{Socket: socket, Group: group.Name, Backend: f.backend()})
			if tt.mode != 0 {
				if err := os.Chmod(socket, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, asOther(t, socket, tt.groups...)); diff != "" {
				t.Errorf("outcome differs (-want +got):\n%s", diff)
			}
			for _, c := range f.callers {
				if c.UID != otherUID || c.GID != otherUID || c.PID == 0 || c.PID == int32(os.Getpid()) {
					t.Errorf("got caller uid %d gid %d pid %d", c.UID, c.GID, c.PID)
				}
				if c.Name() == "" {
					t.Error("got no name for " + strconv.Itoa(otherUID))
				}
			}
		})
	}
}

// manyGroups is more than one question to the kernel brings back.
func manyGroups() []uint32 {
	groups := make([]uint32, 0, 200)
	for g := uint32(1); len(groups) < cap(groups); g++ {
		groups = append(groups, g)
	}
	return groups
}
