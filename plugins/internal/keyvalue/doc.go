// Package keyvalue reads records of named values: logfmt, ArcSight's CEF and
// QRadar's LEEF, as they stand in files and inside of syslog.
//
// # Fields
//
// Keys with a meaning become members of the event or take the name that they
// have in every log: the peer is src_ip, src_port, src_host, the other side
// dst_ip, dst_port, dst_host, the account user and target_user; see the tables in
// cef.go, leef.go and logfmt.go. All other keys keep their own name, with cef. or
// leef. before those of CEF and LEEF. An address that is none stays under its own
// key. The custom values of CEF (cs1 and cs1Label, cn1 and cn1Label) are kept
// under both names.
//
// The header of CEF and LEEF gives observer.vendor, observer.product,
// observer.version and event.code, and the name of CEF's event is the message
// where msg gives none; else it is event.name.
//
// # Limits
//
// Past MaxFields fields, and for keys longer than MaxKey, values are dropped;
// kv_dropped_fields says how many.
package keyvalue
