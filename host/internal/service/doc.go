// Package service answers the calls that a plugin makes of the host: it runs
// the commands that the plugin was granted and hands over their output.
//
// A plugin names a command of the table here and passes arguments that the
// table admits; nothing else is run. Output is read on demand, so a plugin that
// does not read holds its command up and nothing more.
package service
