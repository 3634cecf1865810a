// Package watch keeps what the targets of a machine hold current, and tells of it: its
// containers, its images, and the host itself.
//
// What a target holds is recorded as inventory, package by package, each with its findings,
// whenever it changes. A finding becomes an alert only when its package was observed in use,
// or when it is known to be exploited. That a package was not observed says nothing
// of whether it is affected. Of programs of Go in use it is looked whether they have the functions
// that a finding is about: without these it stays inventory, unless it is exploited. A version that was
// replaced and is loaded still counts as in use. Alerts of their own are a program that came after its
// container's image, a package that did, and a database of packages that was edited.
//
// What was told is remembered in a file for each target, so that a restart tells what changed meanwhile,
// and nothing twice.
package watch
