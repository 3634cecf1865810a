// Package shim is what a process does between its fork from the host and the
// execution of the plugin: it gives up everything that its [Plan] does not grant, says
// so in a [Report], and becomes the plugin.
//
// The host executes its own binary under the name [Name] for that. A program that
// imports this package and is started under that name becomes the plugin while its
// packages are still being initialised; nothing else of the host ever runs in it.
// Under any other name the package does nothing by itself.
//
// A process is confined by one thread, in one order; nothing here is for
// concurrent use. Package sandbox is the host's side.
package shim
