// Package weblog reads the access and error logs of nginx and Apache, as they
// stand in files and as syslog carries them.
//
// # Forms
//
//   - access logs: the common, combined and vhost_combined formats, also with
//     further text after them, of which a first quoted one is taken for
//     X-Forwarded-For
//   - access logs of Nginx Proxy Manager
//   - nginx's error log
//   - Apache's error log, 2.2 and 2.4
//
// # Fields
//
//	src_ip, src_host               the peer, as an address or as a name
//	user                           who logged in over HTTP
//	event_action                   http_request; http_malformed, a request that is
//	                               not HTTP; http_error, a line of an error log
//	http.request.method            GET, POST, ...
//	url.original                   what was asked for, as it was asked
//	url.path, url.query            its parts, not decoded
//	url.decoded                    what was asked for with all escapes resolved, also
//	                               those of escapes, and one blank for every run of
//	                               blanks, line breaks and comments of SQL; only where
//	                               that differs from url.original, so that a rule looks
//	                               at both
//	url.decoded_cut                true, when url.decoded is not the whole
//	http.version                   1.1
//	http.response.status_code, http.response.body.bytes
//	http.request.referrer, user_agent.original
//	http.request.forwarded_for     what the peer says about where it comes from
//	url.domain, url.port, url.scheme  where the log names them
//	log.level, error.code          of an error log
//	ambiguous                      src_ip, when the line names two peers
//
// The message of an access log is the request line; that of an error log is its
// text. A dash stands for no value and sets no field.
//
// # What an attacker can write
//
// The request, the referrer, the agent and the user are the peer's own text.
// Servers escape quotes and control characters in them, so that a quoted text
// ends where the server ended it; the address comes before all of them. In an
// error log the text before the address may hold a path of the peer's: a line
// with two addresses gives none.
package weblog
