//go:build !unix

package image

const nonblock = 0
