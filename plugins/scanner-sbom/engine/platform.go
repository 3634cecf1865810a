package engine

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Platform is what an image runs on, in Docker's words: linux, arm64, v8. The zero one is
// that of the machine.
type Platform struct {
	OS      string `json:"os,omitempty"`
	Arch    string `json:"architecture,omitempty"`
	Variant string `json:"variant,omitempty"`
}

// ParsePlatform reads OS/ARCH or OS/ARCH/VARIANT; what is missing is "".
func ParsePlatform(text string) Platform {
	os, rest, _ := strings.Cut(text, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	return Platform{os, arch, variant}
}

// query asks for the platform, of a Docker whose images have several: others pass it over.
func (p Platform) query() (url.Values, error) {
	if p == (Platform{}) {
		return nil, nil
	}
	text, err := json.Marshal(p)
	return url.Values{"platform": {string(text)}}, err
}

// Fits says whether an image of this system and processor is what was asked for.
func (p Platform) Fits(name, os, arch string) error {
	if (p.OS == "" || os == "" || p.OS == os) && (p.Arch == "" || arch == "" || p.Arch == arch) {
		return nil
	}
	return fmt.Errorf("read the image %s: it is for %s/%s, and not for %s/%s", name, os, arch, p.OS, p.Arch)
}
