//go:build !unix

package catalog

// syncDir does nothing: directories cannot be synced on this system.
func syncDir(string) error { return nil }
