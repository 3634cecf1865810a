// Package store keeps events in PostgreSQL and finds them again.
//
// # Tables
//
// The schema ironpost has logs, packets, alerts and actions, each divided by the day
// (UTC) of its events, in tables that are made ahead, and each with a sibling of the
// same columns, named _outside, for events whose time belongs to no day that there is:
// those of 1970, of the future, or older than a month when they come. hosts and streams
// say where events come from, states who changed what about an alert, packages what is
// known of packages now. A column host_id tells the hosts apart that share a database.
//
// # Writing
//
// Put collects rows in the binary form of COPY. Sync copies them into temporary tables
// and moves them on with INSERT ... ON CONFLICT DO NOTHING in one transaction, so that
// what comes again is kept once. When Sync returns nil, everything is committed, or
// fsynced into the spool.
//
// # The spool
//
// When the server cannot be reached, or takes longer than Config.Slow, Sync appends to
// files in Config.Dir instead, and returns: nobody waits for the server. Run drains them,
// in order, alerts, actions and inventory before the rest, and when they are empty what
// comes goes to the server again. Past Config.SpoolBytes events are left out and
// counted. A row that the server refuses for what it is, is left out, counted, and kept
// in refused.rows.
//
// # Concurrency
//
// A Store is safe for concurrent use. Run runs once.
package store
