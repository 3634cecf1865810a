package symbol

import (
	"debug/buildinfo"
	"io"
	"slices"
)

// Build is what a program says of how it was built; what it does not say is "".
type Build struct {
	// Main is the import path of its main package, whose functions are named "main.F".
	Main         string
	GOOS, GOARCH string
}

// ReadBuild reads what Go's linker left in a program. Nothing is known where it left nothing.
func ReadBuild(r io.ReaderAt) (b Build) {
	defer func() {
		if recover() != nil {
			b = Build{} // it is for whole programs, as in Look
		}
	}()
	info, err := buildinfo.Read(r)
	if err != nil {
		return b
	}
	b.Main = info.Path
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			b.GOOS = s.Value
		case "GOARCH":
			b.GOARCH = s.Value
		}
	}
	return b
}

// Runs reports whether code for some systems and processors can be in the program. An empty list
// is all, and so is what the program does not say.
func (b Build) Runs(goos, goarch []string) bool {
	return one(goos, b.GOOS) && one(goarch, b.GOARCH)
}

func one(list []string, own string) bool {
	return len(list) == 0 || own == "" || slices.Contains(list, own)
}
