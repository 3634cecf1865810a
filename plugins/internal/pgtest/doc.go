// Package pgtest starts a PostgreSQL server of a test's own, from the programs that
// Debian's package postgresql installs: with a data directory of its own, on a free port
// of the loopback address, as an unprivileged user. It ends with the test, also when
// that is killed.
package pgtest
