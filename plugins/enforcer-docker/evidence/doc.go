// Package evidence keeps what can be known of a container at the time of an alert.
//
// An incident is a folder, named by the intent, with
//
//	inspect.json   all settings and the state; values of the environment left out
//	top.json       processes
//	logs.bin       the last lines of the output, with stamps, as Docker frames them
//	changes.json   files that were changed since the image
//	stats.json     figures
//	networks.json  the networks that it is on
//	export.tar     its files, where the intent asks for them
//	incident.json  alert, policy and its version, container, when, and what could not be had
//	SHA256SUMS     the hashes of all these, as sha256sum -c reads them
//
// Each file has at most [MaxFile] bytes, the export those of [Config]; all of it ends
// within a time. What is beyond is cut off, which is told with the file; what cannot be
// had is named and stops nothing. A folder is written beside its place and
// moved there as a whole, so that one that is there is complete. Collecting again
// for the same intent changes nothing. Package incident of the host reads it.
//
// Past the bounds of count and bytes the oldest incidents are removed. Collecting
// changes nothing of the container, and makes no image of it: the host admits no call
// for that.
//
// [Store] is safe for concurrent use.
package evidence
