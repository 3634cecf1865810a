// Package target finds the one container that an alert is about.
//
// What an alert says is looked at by how far its origin can be trusted:
//
//   - What a container wrote is about that container, whatever it says: its lines
//     come in a stream that bears its id, which no text in them can change. Names,
//     ids and addresses in such an alert are passed over.
//   - An alert of the host's own logs names the container by its id, by a control
//     group, by a process, or by the source address, which has to be an address of a
//     container's now. All that are named have to lead to the same one.
//   - Who proved nothing, and evidence whose addresses may be forged, name nobody.
//
// A process is believed to be in a container when Docker lists it there, and when it
// is older than the alert: a control group is a path that others may make too, and
// numbers of processes come back. A container that shares its network with others
// cannot be told from them by an address.
//
// Where there are several, or none, that is the answer, with the reason. A name is
// no way to a container but for operators, through [Named].
package target
