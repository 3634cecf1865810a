package sdk

import (
	"os"
	"path/filepath"

	"github.com/hashicorp/go-plugin"
)

// dockerSocket returns the path of the socket that the host made for the
// plugin's calls of Docker, "" when it made none.
func dockerSocket() string {
	dir := os.Getenv(plugin.EnvUnixSocketDir)
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, "docker.sock")
	if _, err := os.Lstat(path); err != nil {
		return ""
	}
	return path
}
