package extract

import (
	"bufio"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// maxRelease bounds what is read of a file that names a distribution: real ones have some hundred bytes.
const maxRelease = 64 << 10

// release says which distribution a root file system has: by etc/os-release or, where that cannot
// be read, usr/lib/os-release (os-release(5)), whether or not there is a folder etc. nil is that nobody
// names it.
func release(root tree.View) map[string]string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		f, err := root.Open(name)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		var out map[string]string
		if err == nil && info.Mode().IsRegular() {
			out = assignments(io.LimitReader(f, maxRelease))
		}
		_ = f.Close() // it was read only
		if out != nil {
			return out
		}
	}
	return nil
}

// assignments reads lines of NAME=value, whose value may stand between quotes of either kind.
func assignments(r io.Reader) map[string]string {
	out := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		out[name] = value
	}
	return out
}
