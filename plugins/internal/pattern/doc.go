// Package pattern reads fields out of messages by patterns that stand in YAML
// files, so that whoever runs Ironpost can add a program without compiling.
//
//	name: acme
//	programs: [acmed]
//	patterns:
//	  - pattern: 'login of <user> from <src_ip> failed[: <reason>]'
//	    set: {event_action: login_failed}
//	    examples:
//	      - line: 'login of bob from 192.0.2.7 failed: wrong password'
//	        fields: {event_action: login_failed, user: bob, src_ip: 192.0.2.7, reason: wrong password}
//
// # Patterns
//
// A pattern is the whole message: text that must be there as it is, and fields
// in angle brackets, <NAME:TYPE>. <_> takes text that no field keeps. [ ] holds
// an optional part, which begins with text. \ stands before \ < > [ ] to mean
// the character itself.
//
//	ip    an IP address, put in canonical form
//	port  0 to 65535
//	int   decimal digits, with a minus or not
//	word  one character or more, none of them a blank
//	text  one character or more
//	host  a word: the field NAME_ip when it is an address, NAME_host when not
//	blank blanks and tabs, one or more
//	time  a time stamp in any form of package stamp (in lines)
//
// Without a type, src_ip and dst_ip are ip, src_port and dst_port port, pid int,
// all else text. A ? after the name allows no character at all, which sets no
// field; a + takes the longest text that fits and not the shortest.
//
// The patterns of a program are tried in their order, and the first that fits
// counts: of those alone whose text fits the start of the message.
//
// # Two readings
//
// Text in a message is often an attacker's, and may look like what the program
// writes itself. A message that a pattern can be laid over in two ways that
// differ in an address, a port or a host gives none of the fields in which they
// differ; the field ambiguous names the first of those. guard lists further
// fields that are watched like that: when only these differ the first reading
// stays, and ambiguous names the field.
//
// # Cost
//
// There is no back-tracking into exponential time: a pattern tries at most
// MaxSteps places in a message, and one that needs more sets extract_defect. A
// message that lacks a text of the pattern is given up after two looks at it. No
// allocation is made but for addresses that are not in canonical form.
//
// Of the patterns of a program those are tried whose first text the message begins
// with, or, where they begin with a word, whose text after it stands there. So a
// pattern costs least when it begins with text of its own. A second reading is looked for where
// there may be one: not when what is watched is a type that says itself where it
// ends, or goes on to the end, and the text before it stands in the message once.
//
// A Set is immutable and safe for concurrent use.
package pattern
