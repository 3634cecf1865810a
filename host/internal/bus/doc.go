// Package bus moves frames from where they are made to who consumes them, and
// knows what is still owed.
//
// # Queue
//
// A Queue belongs to one consumer: the link of one plugin. It holds, in order,
// every frame from the oldest that the consumer has not declared durable to the
// newest. The link takes frames from it within its credits; when the plugin
// dies, Rewind makes everything that is not durable come again, in the same
// order and under the same numbers. A queue is bounded in bytes and in frames.
// What happens when it is full is the producer's choice, made per Push: Wait is
// back-pressure, Drop is counted.
//
// # Entry
//
// An Entry stands for one batch of a source. It is retained by every frame that
// was made from it and released when that frame is durable; when the last one
// is, the source's checkpoint may advance. Sources collects that per stream, in
// order.
//
// # Topic
//
// A Topic hands frames to every queue that subscribed to it, without copying
// records, and to taps, which are for people who watch: they never hold
// anything up.
//
// All types are safe for concurrent use.
package bus
