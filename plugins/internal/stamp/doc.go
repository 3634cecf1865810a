// Package stamp reads the time stamps that logs carry.
//
// Three families are known: RFC 3339 and its looser relatives (a space for the
// T, a comma before the fraction, no zone), the stamps of RFC 3164 with and
// without a year, and seconds since 1970 in any unit from seconds to
// nanoseconds.
//
// A stamp without a year takes the year that puts it at most one day after the
// time at which the record was observed. A stamp without a zone is read in the
// zone of its stream. Both are marked as inferred.
//
// Times from 1970 to 2261 are accepted, which is what a signed 64-bit count of
// nanoseconds holds; everything else is not a time stamp. Every time is
// returned in UTC. Reading a stamp allocates nothing; what Zones remembers of a
// zone is made a few times a year.
package stamp
