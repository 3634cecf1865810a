// Package service answers the calls that a plugin makes of the host: it runs
// the commands that the plugin was granted and hands over their output, and it
// tells of the machine's processes, whose /proc a plugin cannot see, and it passes on
// what plugins count together with other hosts (package shared).
//
// A plugin names a command of the table here and passes arguments that the
// table admits; nothing else is run. Output is read on demand, so a plugin that
// does not read holds its command up and nothing more.
//
// Of a process the host tells its id, parent, user, name, program, control group,
// container and start, its root directory and mount namespace, and which programs,
// libraries and archives it has loaded; never its arguments, its environment or its
// memory, which may hold secrets. To find out what it has loaded waits for no file
// system of the process.
package service
