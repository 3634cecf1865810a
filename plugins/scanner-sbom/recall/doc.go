// Package recall remembers what scans of folders found, so that the next scan of one
// reads only what changed.
//
// A folder whose inode and times are as they were is not listed again, and a file
// whose inode, size, permissions and times are as they were is not read again; nor is
// one that was only touched, since its content has the digest that it had. What
// readers looked up beside a file, also in vain, counts as part of it. The inventory
// is the one that a scan without memory makes. That rests on the time of the last
// change of an inode (ctime), which no program sets: what changed a moment before it
// was read is therefore read again, as it may change again at what the file system
// takes for the same time; and file systems whose times say less (those of networks,
// FAT, FUSE, /proc) are not remembered at all. What a program writes through a mapping of
// a file changes its times when the page is first written to, not each time, and may
// stay unseen until the file changes again.
//
// In the process, what readers found is kept decoded, up to 50,000 packages of all targets, and shared by
// the inventories of one target, as is what the last one came to: a scan in which little changed
// makes that part of its inventory anew. It is let go of when nobody asks for 15 minutes.
//
// The memory is one file, which can be removed at any time: without it, or with one
// that is damaged or of another version of the program, a scan reads everything.
package recall
