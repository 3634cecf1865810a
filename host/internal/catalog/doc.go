// Package catalog finds plugin candidates, decides which of them may run, and keeps the
// bytes that do.
//
// # From a file to a running plugin
//
//	files in the plugin directories
//	   │ Scan     owner, mode, path, size: what anybody but the operator could have put there is refused
//	   ▼
//	candidates
//	   │ Import   copied while hashed into a directory that only the host can write
//	   │ Verify   the signature, where plugins.trusted_keys is set and the host did not bring the file
//	   ▼
//	(name, SHA-256, open descriptor)
//	   │ Decide   pins, plugins.sha256, plugins.enabled, plugins.disabled
//	   ▼
//	discovered, refused, disabled, changed or enabled
//
// [Place] puts a file into a plugin directory in a way that a scan accepts.
//
// The package runs nothing and keeps nothing but the [Store]. Describing a
// candidate, which runs it, and starting a plugin are done elsewhere, from the
// descriptor that [Store.Import] returned: what is executed is what was hashed.
//
// # Codes
//
// A [Refusal] has a stable code. [Table] lists them all with their rules:
//
//	IP101  wrong owner of the file
//	IP102  the file is writable by group or others
//	IP103  wrong owner of a directory or link on the path
//	IP104  a directory on the path is writable by group or others
//	IP105  setuid or setgid
//	IP106  symbolic link
//	IP107  not executable, where a built or enabled plugin is expected
//	IP108  unusable file name
//	IP109  larger than 512 MiB
//	IP110  not readable
//	IP111  more than 256 executables
//	IP112  not a regular file, where a plugin is expected
//	IP120  not an Ironpost plugin
//	IP121  API version not served
//	IP122  description not answered in time
//	IP123  invalid description
//	IP130  changed since it was pinned
//	IP131  name taken
//	IP132  keeps failing
//	IP133  not signed, where keys are trusted
//	IP134  signed wrongly, or by a key that is not trusted
//	IP140  the store is on a file system mounted noexec
//
// The codes from IP120 to IP123 and IP132 are given by those who run plugins.
//
// # Concurrency
//
// [Scan], [Decide] and the readers are pure or only read files, and may be called at
// any time. A [Store] may be used by several goroutines.
package catalog
