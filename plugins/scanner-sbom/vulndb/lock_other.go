//go:build !linux && !darwin

package vulndb

// lock does nothing where files cannot be locked by name: of two imports at a time the
// one that ends last wins.
func lock(string) (func(), error) { return func() {}, nil }

// syncDir does nothing where folders cannot be opened.
func syncDir(string) error { return nil }
