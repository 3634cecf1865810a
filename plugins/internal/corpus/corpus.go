// Package corpus finds the real logs that tests read. They lie beside the
// repository, under shared/data, and are not part of it.
package corpus

import (
	"os"
	"path/filepath"
	"testing"
)

// Env names the environment variable that holds the folder of the data, for
// those who keep it elsewhere.
const Env = "IRONPOST_TEST_DATA"

// File returns the content of a file below the data folder, such as
// "loghub/OpenSSH_2k.log". It skips the test, saying why, when the folder is
// absent, and fails it when the folder is there without the file.
func File(t testing.TB, name string) []byte {
	t.Helper()
	root, ok := find(t)
	if !ok {
		t.Skipf("no folder shared/data beside the repository and no %s: %s is not read", Env, name)
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("read test data: %v", err)
	}
	return content
}

// find looks for shared/data in the parents of the working directory.
func find(t testing.TB) (string, bool) {
	t.Helper()
	if root := os.Getenv(Env); root != "" {
		return root, true
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find test data: %v", err)
	}
	for {
		root := filepath.Join(dir, "shared", "data")
		if info, err := os.Stat(root); err == nil && info.IsDir() {
			return root, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}
