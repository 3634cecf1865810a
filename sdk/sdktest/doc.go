// Package sdktest checks a plugin against the contract of its kind, from the
// outside: it plays the host.
//
// A plugin author writes one test per kind:
//
//	func TestConformance(t *testing.T) {
//		target := sdktest.Value(func() sdk.Plugin { return newPlugin() })
//		sdktest.TestParser(t, target, sdktest.ParserConfig{
//			Lines: []string{"2025-11-01 12:00:00 WARN web1: disk is nearly full"},
//		})
//	}
//
// Value drives the plugin inside the test's process, over gRPC in memory, so
// that coverage and the race detector see it. Binary drives a built program of
// any language through the real handshake.
//
// The checks are those that the host relies on: every batch is answered and
// acknowledged, in order; nothing is called durable that was not sent; records
// that an attacker wrote cost themselves and nothing else; health answers while
// the plugin works; a drain ends with everything durable; and what is delivered
// twice has the effect of once.
//
// The checks themselves are in package suite, which "ironpost plugin test" runs
// against built programs in the host's sandbox, faults of the process included.
//
// For tests of a plugin's own logic, Host and Link send single batches and
// return what the plugin answered.
package sdktest
