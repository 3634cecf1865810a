// Package silence keeps what operators said about alerts that they expect: a silence
// holds back the alerts that meet its conditions until it ends. An alert that is held
// back is kept like any other, with the silence's id; nobody acts on it, and nobody is
// told.
//
// A silence says who made it, when and why, and ends within MaxTTL. Its end survives
// restarts of the host and jumps of the clock, and nothing puts it off: who wants it
// longer makes another. One that ended is kept for keepEnded, so that an alert can be
// traced to it.
//
// # Bounds
//
// At most MaxActive silences hold at a time, with MaxConditions conditions each. Of those
// that ended the newest maxEnded are kept.
//
// # Durability
//
// Add and Remove return when the change is on the disk. How many alerts a silence held
// back is written a few seconds later, so a host that is killed may forget some of them;
// the alerts themselves are marked in the journal.
//
// A Book is safe for concurrent use.
package silence
