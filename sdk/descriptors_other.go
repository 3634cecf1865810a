//go:build !linux

package sdk

// holdDescriptors does nothing on this system.
func holdDescriptors() (release func()) { return func() {} }
