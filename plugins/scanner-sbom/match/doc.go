// Package match tells which packages of an inventory known advisories are about.
//
//	result, err := match.Match(ctx, db, packages, match.Options{Rules: rules})
//
// # Versions
//
// An advisory is about a version that it lists, or that lies in one of its ranges, as the
// OSV schema defines it: of the events at or before the version, the last decides; at
// equal versions a fix comes after what it fixes. Versions are ordered as their ecosystem
// orders them (package version), in SEMVER ranges as semantic versions.
//
// # Names
//
// Names are compared in the ecosystem's normal form. Advisories of Debian and Ubuntu are about
// source packages, those of RPM distributions and of Alpine's family about either, so the source of
// a package is looked up with its own version. An advisory for a release, "Debian:12", is
// about packages of that release alone; an advisory without release is about all. A
// package whose release is not known is compared with all releases, and its findings say so.
//
// # One finding a flaw
//
// Advisories that name each other as aliases (or that have one and the same upstream) become one
// finding. Its ID is the CVE if there is one. Range, fixes and severity come from the
// most specific source that says that the version is affected: the ecosystem's or distribution's
// own database, then GitHub's, then others; of equals the one changed last. Where a more
// specific one does not say so, the finding stays and names it as Disputed: a finding too many
// can be seen, one too few cannot. A severity or summary that it does not give comes from
// the next.
//
// # What was not checked
//
// Each ecosystem of the inventory is reported as checked, stale or unchecked. No database, or
// none for the ecosystem or release, is unchecked and never reads as clean; it does not
// keep others from being checked.
package match
