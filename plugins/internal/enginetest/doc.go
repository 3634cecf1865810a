// Package enginetest starts a dockerd of a test's own, in a network namespace of its
// own, so that tests can do to containers and networks what they want.
package enginetest
