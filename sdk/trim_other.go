//go:build !linux

package sdk

// trimImage does nothing where the kernel is not Linux.
func trimImage() {}
