//go:build !unix

package store

// readOnlyFS reports whether err says that the file system is read-only; such
// errors are permission errors here.
func readOnlyFS(error) bool { return false }
