package nettest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// pinDirs numbers the directories of this process.
var pinDirs atomic.Uint64

// PinDir names a directory in a bpffs that nothing is pinned in, and removes it,
// with what is pinned then, when the test ends. Where no bpffs is mounted it
// mounts one for the test. It skips the test without root.
func PinDir(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("pinning needs root")
	}
	root := "/sys/fs/bpf"
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil || st.Type != unix.BPF_FS_MAGIC {
		root = t.TempDir()
		if err := unix.Mount("bpf", root, "bpf", 0, ""); err != nil {
			t.Skipf("no bpffs is mounted at /sys/fs/bpf, and none can be: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount the bpffs: %v", err)
			}
		})
	}
	sweepPins(root)
	dir := filepath.Join(root, fmt.Sprintf("%s%d-%d", pinPrefix, os.Getpid(), pinDirs.Add(1)))
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the pins: %v", err)
		}
	})
	return dir
}

const pinPrefix = "ironpost-test-"

// sweepPins removes what tests left that were killed.
func sweepPins(root string) {
	left, _ := filepath.Glob(filepath.Join(root, pinPrefix+"*"))
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), pinPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			_ = os.RemoveAll(dir)
		}
	}
}
