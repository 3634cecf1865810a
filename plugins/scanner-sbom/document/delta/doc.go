// Package delta tells what differs between two inventories: packages that came, went,
// or have another version or licence. The order of what it tells depends on the
// inventories alone, not on the order of their packages.
package delta
