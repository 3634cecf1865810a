package tail

import (
	"path/filepath"
	"regexp"
)

// dockerOutput is where Docker's driver json-file keeps the output of a container,
// and the files that it rotates away.
var dockerOutput = regexp.MustCompile(`/containers/([0-9a-f]{64})/([0-9a-f]{64})-json\.log(\.[0-9]+)?(\.gz)?$`)

// outputOf returns the id of the container whose output the file holds that path
// names or leads to, in Docker's layout; "" for any other file. What is in such a
// file are the container's words, not the host's.
func outputOf(path string) string {
	if id := outputID(path); id != "" {
		return id
	}
	// /var/log/containers of Kubernetes holds links. What they lead to may lie
	// outside of what may be seen; then it cannot be read either.
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	return outputID(target)
}

func outputID(path string) string {
	m := dockerOutput.FindStringSubmatch(filepath.ToSlash(path))
	if m == nil || m[1] != m[2] {
		return ""
	}
	return m[1]
}
