// Package syslog parses syslog records, as they stand in files and as they
// come over the network.
//
// # Forms
//
//   - RFC 5424, with structured data.
//   - RFC 3164, with or without PRI, with or without a host, with a year (also
//     the year 0000 of a clock that was never set) or without one.
//   - The same with an RFC 3339 stamp, as rsyslog writes files on Ubuntu 24.04.
//   - PRI alone before a message.
//   - A bare "tag[pid]: message".
//
// # What becomes of a record
//
//   - Time, in UTC. FlagTimeInferred says that the year or the zone was not in
//     the record; the year follows from the time of observation (see package
//     stamp), the zone from the stream. A record without a stamp leaves Time
//     zero for the SDK to fill in.
//   - Host, Process, PID; Message without blanks at either end.
//   - Severity from PRI, and the field facility.
//   - msgid; procid where the process id is not a number; sd.<id>.<param> for
//     structured data, of which a repeated parameter keeps the last value.
//   - The fields of package extract; those of package weblog for what nginx and
//     Apache send, those of package keyvalue for CEF and LEEF.
//   - syslog_defect, where a record claims to be RFC 5424 and part of it is not:
//     bad_header (read as RFC 3164 instead), bad_timestamp (no time taken),
//     bad_structured_data (it stays in the message), too_many_params (those past
//     MaxParams are dropped), bad_cef_or_leef (the message stays as it is).
//
// Package-level errors say why a record is refused.
package syslog
