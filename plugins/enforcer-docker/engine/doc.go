// Package engine talks to Docker. It alone imports the Docker client, and says in
// types of its own what the rest of the plugin needs to know: so the client, which
// is frozen upstream, can be replaced in one place.
//
// The version of the API is agreed on with the daemon, from 1.24 up to the newest
// that the client knows: at the first call, and again each time that [Engine.Events]
// begins, so that a daemon may be replaced under the plugin by an older or newer one.
//
// Every call ends within a time of its own. That a call which changes something
// ended in an error does not say that nothing was changed: the daemon goes on with
// what a client gave up. Whoever makes one looks at the container afterwards and
// judges by that alone, and not before the call has ended: [Engine.Settle] waits
// for those that were given up.
//
// [Engine] is safe for concurrent use.
package engine
