// Package view reads bytes as a string without copying them.
//
// It is the one place in the plugins that uses package unsafe. A parser uses
// it on a record that the SDK keeps unchanged until the parsed event is
// encoded; the views must not outlive that.
package view

import "unsafe"

// String returns the bytes of b as a string that shares their memory. The
// caller guarantees that b is not written to while the string, or any string
// cut from it, is in use.
func String(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
