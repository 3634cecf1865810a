// Package cli is the command line of Ironpost: the verbs of the one binary.
//
// A verb either talks to a running host through its control socket or works
// offline; those that need parts of the host (run, replay, parse, the checks of
// rules and configuration) call the functions of App.
//
// # Conventions
//
// Results go to stdout, everything else to stderr. -o json prints one document;
// lists are top-level arrays. replay, parse and events tail print one JSON
// object a line whatever -o says. The exit status is 0 when it was done, 1 when
// it failed, 2 for wrong usage or invalid input, and 3 when the host is not
// running. An error is one or two lines: what, why, and how to mend it.
//
// Whatever comes from a log, a plugin or the host is escaped before it reaches
// a terminal.
package cli
