// Package spool keeps records on disk, in order, until they are taken.
//
// Append writes to segment files and returns when the records are on the disk. Next
// reads the oldest, Done removes what was read: a process that dies between the two
// reads the same again. A segment is removed when all of it is done, so up to one
// segment of records comes again after a restart.
//
// Each record has a checksum. The torn end that a lost power supply leaves is passed
// over; so is the rest of a segment behind a damaged record, and the file is kept
// under another name. Lost counts its bytes.
//
// A Spool is safe for concurrent use, by one reader.
package spool
