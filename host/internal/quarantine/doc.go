// Package quarantine keeps the records that a plugin died of, where a person can
// find them: what it was, which plugin, when and how it died.
//
// A record is on the disk when Put returns. The store is bounded in records and in
// bytes; the oldest go first, and are counted. A Store is safe for concurrent use.
package quarantine
