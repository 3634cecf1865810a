// Package tail follows log files: it reads them as they grow, through
// rotation, truncation and its own restarts, and emits one record a line.
//
// # Position
//
// A stream is named by the path that the configuration names. Its checkpoint
// says where to resume, and in which file: a path is not enough, because
// rotation gives the same path to one file after another. A checkpoint lists up
// to four files, the oldest first, and for each
//
//   - device and inode,
//   - a fingerprint: the first eight bytes of SHA-256 over its first bytes, at
//     most 1 KiB, and how many those were,
//   - the offset behind the last record that was emitted, and the CRC-32C of up
//     to 64 bytes before it,
//   - when it was last read.
//
// A file is resumed when its inode, its fingerprint and the bytes before the
// offset are all what they were. The inode alone proves nothing (file systems
// hand it out again), the fingerprint alone neither (logs often begin alike).
// The device only decides between files that are otherwise equal, since its
// number may change with a reboot. No offset advances but through Emit. Where the
// file of the checkpoint is gone, the lines behind it, which may have been emitted,
// cannot come again: what is read instead leaves their numbers out, so that no sink
// takes it for them. Before the first line of a file whose predecessor is gone (deleted,
// or truncated without a copy) is emitted, its beginning is made the stored position,
// which takes a quarter of a second, and five seconds at the most.
//
// # Rotation by renaming
//
// The old file stays open and is read to its end. The new one is begun when it
// holds its first byte: whoever writes there is done with the old one, which is
// then read to its end once more. So the order of a single writer is kept.
// Writers that change over later are covered too: the old file is followed
// until nothing was added for five minutes, and its late lines are emitted when
// they come. After a restart the file is found again among the files of the
// directory, and files that were rotated in the meantime are read in their
// order (path.1, path.2.gz, path-20260131, app-2026-01-31.log).
//
// # Compressed files
//
// A rotated file that gzip or zstd compressed is the same file: its content is compared,
// not its inode. It is never read twice, and what was unread when it was
// compressed is read from it, also after a restart in its middle. Of several that
// begin alike (with a header, or an empty line) none is taken that holds more than
// the file did, and of the others the one whose time of change fits best. One that is
// still being compressed is waited for. One that ends in the middle and was not
// changed for a minute, or cannot be decompressed, is read as far as it goes and
// counted (gzip_damaged), as is a file of zstd that refers further back than 8 MiB. A
// pattern that ends with .gz or .zst follows compressed files as streams of their
// own, each read once. Files compressed in another way are not read; rotate with
// delaycompress then.
//
// A symbolic link that led to one dated file (app-20260131.log) and now leads to
// a later one went through those of the days between; they are read in order.
//
// # Output of containers
//
// A file in Docker's own layout (containers/ID/ID-json.log), or a link to one, holds
// the words of a container: its stream has that provenance and peer, not the host's.
//
// # Rotation by copying and truncating
//
// A file that is shorter than the offset, or whose fingerprint or bytes before
// the offset changed, was truncated. If the copy is found beside it (same
// fingerprint, same bytes before the offset), what was unread is read from the
// copy first; then the file from 0. What a writer adds between the end of the
// copy and the truncation is lost by that method itself: no reader can have it
// unless it had read it by then. Lines that were unread when a file was
// truncated without a copy are gone as well.
//
// # Lines
//
// A line ends with LF; a CR before it is taken off. The last line of a file
// waits for its end, however long that takes; it is emitted without one only
// when its file was rotated away and a successor has data (after a second
// without change), or when the file is given up. A line longer than
// event.MaxRecord is handed over as its first MaxRecord+1 bytes, so that the
// SDK cuts and counts it, and the rest is skipped without being kept. A block
// of 512 NUL bytes or more at the beginning of a line (a hole that a writer
// without O_APPEND leaves behind after truncation) is skipped and counted.
//
// # Records of several lines
//
// With an expression in Config.Multiline a record begins with a line that
// matches, and goes on to the next such line. The last one is emitted when
// nothing was added to the file for multiline_timeout; a line that comes later
// begins a record of its own. A record is at most event.MaxRecord long: the line
// that would make it longer begins another one (multiline_split). What was not
// emitted as a record has no position: it is put together anew after a restart.
//
// In the log of the audit system, which its beginning tells, the lines of one event,
// which have one time and serial number, are a record, unless an expression is
// configured: also where those of other events stand between them, as the kernel
// writes them on several processors. An event is emitted with the line that ends it
// (PROCTITLE, EOE, and those that user programs send are alone), else when a line is
// two seconds younger, which is the end_of_event_timeout of auditd.conf(5), or nothing
// was added for multiline_timeout. Lines behind one another from the first until no
// event is unfinished are a region; its events are emitted as they end, and its place
// is the checkpoint, with the number of those that were: so a restart takes up each
// event again that was not, and none twice. A region has at most mostRegion bytes and
// maxUnfinished unfinished events, and a record event.MaxRecord bytes; what goes on past
// that is in two parts (multiline_split).
//
// # Bounds
//
// At most max_files paths are followed; the rest is counted and named in the
// health. Each has a goroutine of its own, so a stream that the host holds up
// holds up no other, and a buffer of 128 KiB only while it reads; with another 160
// KiB while it reads a compressed file.
package tail
