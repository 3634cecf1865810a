// Package pipeline is the flow: it gives every plugin its place between source
// and sink, and moves frames along.
//
//	source --raw--> parser --log--+--> detector --alert--> journal --> enforcer, sink
//	packets ----------------------+--> sink                   ^           |
//	                                                          +--actions--+
//
//	scanner --alert--> journal, --inventory--> a journal of its own --> sink
//
// Logs and packets go through topics; alerts, actions and inventory through journals,
// which every consumer of them follows at its own pace and from its own
// position, so that one that is down loses nothing.
//
// A Member is the place of one plugin. It outlives the plugin's processes: its
// queue, its positions and its counters stay while Serve is called again with
// each new connection.
package pipeline
