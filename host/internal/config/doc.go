// Package config reads the one configuration file of Ironpost, ironpost.toml,
// and merges it with the environment and the command line.
//
// # Schema
//
// Everything that can be set is declared: a [Section] is a top-level table
// with the [Field] values it accepts, each with a type, a default, bounds and a
// line of help. [HostSections] are the host's own; every other section belongs
// to the one plugin that declared it and goes through the same checks, because
// a plugin's declaration is translated into a Section before the file is read.
// A declaration that comes from a plugin is hostile input: it is bounded,
// checked, and cannot take over a name of the host.
//
// # Order
//
// Command line before environment before file before defaults. A key takes its
// whole value from exactly one of them: lists and maps are replaced, not
// joined. The environment name of a key is IRONPOST_<SECTION>_<KEY>; lists are
// comma-separated, maps are comma-separated name=value pairs. A name that could
// be read in two ways belongs to the host's own key if there is one, else to
// the longest known section.
//
// # Problems
//
// [Load] finds every problem in one run, not the first one. Each [Problem]
// names the file and line (or the variable, or the flag), the key, what is
// wrong and what is allowed, and whose section it is in: a problem of the host
// is fatal, a problem of a plugin stops that plugin alone ([Config.PluginProblems]),
// an unknown section or variable is a warning unless [Options.Strict] is set.
//
// # Secrets
//
// A field declared Secret holds a [Secret]: either the value itself or a
// reference, "file:/path" or "env:NAME". References are read when the section
// is handed to its plugin ([Config.SectionJSON]) and at no other time. A
// secret prints as "(secret)" whatever verb or encoder is used, and problems
// never quote it.
//
// # Change
//
// A [Config] is immutable and may be read by many goroutines. To follow the
// file, run [Watch], call Load again, and let [Diff] say what changed.
package config
