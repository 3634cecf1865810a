// Package roster knows every plugin of a host: the candidates in the plugin
// directories, what they say of themselves, which of them are to run, and those
// that do.
//
//	directories --Scan--> candidates --describe--> decisions --> supervised plugins
//
// A candidate is described once per content: the answer is kept under its
// SHA-256. Descriptions and starts run in parallel. A plugin that is refused,
// broken or slow holds up nobody else.
//
// A Roster is safe for concurrent use. Changes of one plugin are made one at a
// time; those of different plugins do not wait for each other.
package roster
