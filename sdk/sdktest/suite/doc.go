// Package suite holds the checks of a plugin against the contract of its kind,
// and reports what came of them without a test around it.
//
// Plugin authors use it through package sdktest, which runs the same checks under
// go test, and through "ironpost plugin test", which runs them against a program in
// the host's own sandbox:
//
//	report := suite.Run(ctx, target, suite.Config{})
//	for _, r := range report.Results {
//		fmt.Println(r.Outcome, r.Title)
//	}
//
// A [Target] starts the plugin as often as the checks need it. Each check is a
// [Check]: what is wanted, how it is looked at, and where to look when it fails.
// [Base] is for every plugin; [Parser], [Detector], [Enforcer], [Sink], [Source],
// [Scanner] and [SharedState] hold the checks of the kinds, [Counting] those of whatever
// counts for several hosts, [Faults] what a host and a kernel do to a
// consumer on a bad day.
//
// # Order and concurrency
//
// Checks of one list run in order and one at a time: the later ones may compare
// with what the earlier ones saw. Everything waited for is bounded, so that a run
// against a plugin that answers nothing ends too.
package suite
