// Package example runs the examples that stand beside rules: input lines, and
// the alerts that a rule must and must not raise for them.
//
// A file of examples is YAML:
//
//	rule: ssh_brute_force
//	format: syslog
//	cases:
//	  - name: five failures within a minute
//	    input: |
//	      2025-03-01T12:00:00+00:00 web1 sshd[1]: Failed password for ...
//	    alerts:
//	      - {group: 192.0.2.1, count: 5, entities: {src_ip: 192.0.2.1}}
//	  - name: four are none
//	    input: |
//	      ...
//	    alerts: []
//
// The alerts are those of that rule, in their order. A file with "quiet: medium"
// in place of "rule" holds ordinary input, for which no rule at all may raise an
// alert of that severity or above. "stream" names the stream that the lines are
// said to come from, where that counts, such as /var/log/nginx/error.log.
//
// Who calls Check brings the parsers, so that this package depends on no format.
package example
