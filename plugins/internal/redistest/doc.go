// Package redistest starts a Redis server of a test's own, the one that Debian's package
// redis-server installs: with a data directory of its own, on a free port of the loopback
// address or on a Unix socket. It ends with the test, also when that is killed.
package redistest
