package setup

import (
	"os"
	"path/filepath"
	"slices"
)

// databases are the folders in which managers of packages write down what they installed.
func databases() []string {
	return []string{"/var/lib/dpkg", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/lib/apk", "/usr/lib/apk"}
}

// packages returns the folders below root that hold installed software and the
// databases about it; nil where there is no database.
func packages(root string) []string {
	is := func(path string) bool {
		info, err := os.Stat(filepath.Join(root, path))
		return err == nil && info.IsDir()
	}
	found := slices.DeleteFunc(databases(), func(path string) bool { return !is(path) })
	if len(found) == 0 {
		return nil
	}
	out := slices.DeleteFunc([]string{"/usr", "/opt"}, func(path string) bool { return !is(path) })
	for _, path := range found {
		if rel, err := filepath.Rel("/usr", path); err != nil || rel[0] == '.' {
			out = append(out, path) // it does not lie in what is there already
		}
	}
	return out
}
