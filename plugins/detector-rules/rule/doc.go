// Package rule reads detection rules from YAML and checks them, in the simple form
// that this page describes and in Sigma (package sigma), side by side in one tree.
// detection.conditions makes a document one in the simple form.
//
// # The simple form
//
//	id: ssh_brute_force          # letters, digits and . _ : - ; unique in the set
//	title: SSH Brute Force Attack
//	severity: high               # or level; informational low medium high critical
//	detection:
//	  conditions:                # all must hold; "condition: any" makes it one of them
//	    - field: process
//	      operator: equals       # the default
//	      value: sshd            # a list means any one of them
//	  threshold:                 # optional
//	    count: 5
//	    timeframe_secs: 60
//	    group_by: src_ip         # optional; a name or a list of names
//
// Operators: equals, contains, starts_with, ends_with, regex, exists, gt, gte,
// lt, lte, cidr, and not. Text is compared without regard to case (Unicode
// simple folding, as strings.EqualFold) unless the condition says
// case_sensitive: true; a regex regards case unless the condition says
// case_sensitive: false or the pattern (?i).
//
// Negation has one meaning, "the condition does not hold", and these
// spellings: the prefix not_ on any operator (not_contains), operator not with
// a value (not equal to it) or with a nested condition or conditions (not all
// of them hold), the key not with nested conditions, and not: true beside an
// operator. A negated condition also holds for an event that lacks the field.
// A condition may also be a group: any: [...] or all: [...].
//
// # Loading
//
// Load walks a file tree, and knows of each document what it is: a rule in the simple
// form, a rule, a filter or a correlation in Sigma, a mapping (package mapping), or no
// rule. A rule that is wrong is rejected alone, with a Problem that names its file,
// line and reason; the others load. YAML documents that are no rules are passed over
// and counted. Everything is bounded, see the Max constants; aliases count each time
// they are used.
//
// Ids are unique over both languages. Filters and correlations in Sigma may name rules
// in the simple form; their log source is product ironpost. What Sigma has no words
// for stands under the key ironpost of a rule or correlation: suppress, rate_limit and
// evidence as in the simple form, and disabled.
//
// # Concurrency
//
// Load keeps no state. A Rule is not changed after Load returned it and may be
// shared.
package rule
