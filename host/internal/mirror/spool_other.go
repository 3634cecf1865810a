//go:build !unix

package mirror

// Lock does nothing where folders cannot be claimed.
func Lock(string) (func(), error) { return func() {}, nil }
