// Package mapping knows what rules in Sigma speak of, in the words of Ironpost's
// events: which log sources an event belongs to, and what a field of a rule is
// called in it.
//
// A mapping is a YAML document. Those that are shipped are built in; those beside
// the rules of an operator come before them.
//
//	mapping: Web servers                # makes it a mapping; its title
//	sources:
//	  - when: {event_action: http_request}
//	    logsource: {category: webserver}
//	  - when: {process: [sshd, dropbear]}
//	    logsource: [{product: linux, service: sshd}, {product: linux, service: auth}]
//	fields:
//	  - logsource: {category: webserver}
//	    names:
//	      c-ip: src_ip
//	      cs-uri-query: [url.query, url.original]
//	      type: {field: audit.types, within: ","}
//
// # Sources
//
// An event belongs to the log sources of every entry whose conditions hold. A
// condition is one of several values, without regard to case, or "*" for any. Its
// key is process or a field of the event; or plugin, format or stream of the stream
// that it comes from, where * in the value of stream stands for anything.
//
// # Fields
//
// The names of an entry are for rules whose log source it covers; what is said for
// a log source with more parts goes before what is said for one with fewer. A field
// with several names is looked for under all of them. A field that is a list in one
// text is named with what stands around each of its parts.
//
// # Bounds
//
// A mapping has at most MaxEntries entries and MaxValues values.
//
// # Concurrency
//
// A Mapping is not changed after Parse returned it; Shipped returns shared ones.
package mapping
