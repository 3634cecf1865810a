// Package rotate appends lines to a file that it renames when it grows too
// large: path, path.1, path.2 and so on, the newest first.
//
// # Safety
//
// Append writes all its lines or none: after an error the file is cut back to
// where it was. A last line without its end, left by a crash, is cut off when
// the file is opened, if it begins as a JSON object; anything else is somebody's
// text, and gets its line ending. What Sync covered survives the process, and
// with Config.Fsync the machine.
//
// A file is written at least once: after a crash the same lines may be offered
// again. A line that is equal to one of the last 8,192 is not written again;
// one that comes later than that is, and its reader goes by the id in it.
//
// A file that somebody else renamed or removed is made anew at the next Append.
// A rotation that fails loses nothing: the file grows on, and Health says why.
//
// # Concurrency
//
// All methods are safe for concurrent use; each waits for the one before.
package rotate
