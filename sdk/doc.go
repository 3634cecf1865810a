// Package sdk is what a plugin author imports.
//
// A plugin is a program whose main returns sdk.Main of one Plugin value:
//
//	func main() {
//		os.Exit(sdk.Main(sdk.Plugin{
//			Name:    "parser-acme",
//			Summary: "Logs of Acme appliances",
//			Parser:  sdk.ParseFunc("acme", parse),
//		}))
//	}
//
// Main does what every plugin needs: it shakes hands with the host, describes
// the plugin, decodes its section of the configuration, moves batches with
// acknowledgement and back-pressure, answers health checks, drains, and ends
// when the host is gone. The author writes one of the kinds: LogSource,
// LogParser, Detector, PolicyEnforcer, Scanner or Sink. One binary may be
// several.
//
// # Delivery
//
// The host delivers every record at least once and in the order of its stream.
// After a plugin died, what it had not declared durable comes again: to a
// plugin that implements Stateful together with the state that belongs to the
// last durable record, to a Sink from the last record that Sync covered. Event
// ids are stable across that, so that a repeated effect can be recognised.
//
// # Back-pressure
//
// A method that takes long holds up its own stream alone. At most a handful of
// batches wait inside the process; the rest waits in the host, and behind it in
// the log file or the TCP socket.
//
// # Concurrency
//
// The SDK calls the methods of one kind from one goroutine at a time, unless
// the interface says otherwise. Different kinds of one binary are called
// concurrently.
//
// # Tests
//
// Package sdk/sdktest plays the host in a plugin's own tests: one call checks a
// plugin against the contract of its kind, in process or as a built program.
//
// # Output
//
// Log with the logger in Env. Standard output belongs to the handshake; what a
// plugin prints after sdk.Main began lands in the host's log.
package sdk
