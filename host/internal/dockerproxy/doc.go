// Package dockerproxy gives one plugin the part of the Docker API that it was
// granted, on a socket of the plugin's own.
//
// A grant is a scope ("read", "settings", "logs", "files", "isolate", "stop") or one
// line "METHOD /path" in which * stands for one element of the path and ** for one or
// more. Whatever the grants, only the endpoints of the table here can be
// reached: nothing in it makes a container, runs a command in one, builds,
// pulls, mounts or changes the daemon, each of which is root on the host.
// GET /_ping and GET /version are always admitted, clients begin with them.
//
// # What is checked
//
// Method and path, without the version in front, must match a grant and the
// table. A path that could be read in two ways (encoded slashes, empty
// elements, dots) is refused. A body is refused unless the endpoint takes one;
// then it is at most 64 KiB of JSON, is decoded into the fields that are
// known, and what is sent on is encoded anew, so that the daemon reads
// what was checked. Of "top" the arguments may choose columns and nothing else, since
// dockerd hands them to ps. Connections are never handed over to another protocol, and
// no header goes on but those that describe content.
//
// Answers are passed on as they come, events and logs as long as they last. With
// "settings" the details of a container are shortened to how it is confined,
// without the environment, the command and what else holds secrets; a grant of
// "read" or of the call itself gives all of it. A
// plugin that does not read holds up its own request and nothing else. Requests
// under way are bounded; more are refused and counted.
//
// A refused call is answered with status 403 and a message in Docker's own
// form, counted, and named in the host's log, at a bounded rate.
//
// [Proxy] and [Socket] are safe for concurrent use.
package dockerproxy
