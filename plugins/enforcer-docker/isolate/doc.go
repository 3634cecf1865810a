// Package isolate cuts containers off, and puts back what was.
//
// # What an answer is
//
// Prepare takes a picture of the container: its state and how it is attached to
// networks. Execute, Inspect and Release get that picture back, from the host's
// disk, and so can be called again by another process after a crash: each looks at
// the container first, does what is missing, and looks again. Nothing is judged by
// what Docker answered to a call, since a second disconnect is an error, pausing a
// paused container is another, and a call that timed out may have been carried out.
//
//	net-isolate  off all networks, off those named, or over to the network of quarantine
//	pause        frozen; its kernel still answers connections: that is no isolation
//	stop, kill   ended, with or without time to do so; Release starts it again
//
// # Shared networks
//
// Containers that were run with the network of another (container:X) have one stack
// of which X is the owner: who cuts one off cuts all. [ReachOf] finds them. An
// intent names those that its policy allows; where there are others, running, at
// the time of Prepare, of Execute or right after it, nothing is done, or what was
// done is undone.
//
// # What comes back
//
// Release asks Docker for what was asked for in the first place: aliases, links,
// options of the driver, priority, a MAC address that Docker would not have chosen, and
// an IP address only where one was asked for. Published ports come back with the
// endpoint. It reports event.OutcomePartial, with the reason, when an address is
// another's by now, when Docker does not give back a MAC address, when others have a
// link of the old kind to an address that the container has no more, or when a network
// is gone; where a network of the same name was made anew, the container is attached to
// that one. Networks that somebody attached meanwhile are left alone by Release, and cut
// by Execute when it is called again.
//
// A call that was given up is waited for before a container is looked at: what is seen
// is not changed behind one's back.
//
// [Isolator] is safe for concurrent use on different containers.
package isolate
