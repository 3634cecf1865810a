// Package serve is the plugin's end of the links: it receives frames, hands
// them to a Handler or takes them from an Emitter, and keeps the promises about
// acknowledgement, credit and durability, so that the code of the kinds need
// not know them.
//
// On every stream one goroutine receives and another works and sends. They are
// never the same: a sender that waits for the window while nobody receives
// would deadlock with a host in the same position.
package serve
