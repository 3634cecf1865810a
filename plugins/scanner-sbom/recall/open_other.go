//go:build !unix

package recall

const nonblock = 0
