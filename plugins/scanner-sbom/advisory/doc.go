// Package advisory reads what is known of vulnerabilities: records of the OSV
// schema (1.0 to 1.7, JSON and YAML), RustSec's and the old npm ones, which become
// such records, CISA's catalogue of exploited vulnerabilities (KEV), and FIRST's
// estimates of exploitation (EPSS).
//
// [Read] goes through a file, a folder, or an archive, one file after another, and
// holds no more than a few of them in memory:
//
//	err := advisory.Read(ctx, "all.zip", advisory.Limits{}, func(f advisory.File) error {
//		switch {
//		case f.Problem != nil: // f.Name is no record: why
//		case f.Record != nil:  // a record
//		...
//
// Every file of the source is told exactly once, in the order of the source: as
// content or as a problem with a stable code. Sources come from the network, so
// all sizes are bounded; what is beyond a limit is a problem of that file alone.
package advisory
