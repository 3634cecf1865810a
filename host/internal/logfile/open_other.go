//go:build !unix

package logfile

const foundFlags = 0
