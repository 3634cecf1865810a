// Package link is the host's end of the connection to one plugin process: it
// starts the process in its sandbox through go-plugin, shakes hands, and offers
// the calls of the base service and of the kinds.
//
// Batches travel as frames whose records stay bytes (proto/ironpost/v1). Every
// call has a deadline; a plugin that does not answer is killed, never waited
// for. A Conn is used for one process and is not started again.
package link
