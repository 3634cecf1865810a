// Package logfile finds the logs below files and directories and reads them as
// streams, for the verbs that read logs without a host.
//
// A file that is named is a stream of its own. In a directory, and in those below
// it, the generations of one log (a.log.2.gz, a.log.1, a.log; a.log-20260131;
// a-2026-01-31.log) are one stream by the name of the log, the oldest first. Dates
// come before numbers, and a file without either is the newest. Symbolic links in
// directories are not followed, and hidden files are passed over, as are those
// that hold no text or are compressed otherwise than by gzip; these are named.
// Control characters here and there do not make a file one without text: whoever is
// logged may get some into a log.
//
// Content that begins as a gzip file does is decompressed, whatever its name. One
// that is damaged is read as far as it goes, and named.
package logfile
