// Package storebench measures stores of events in the same way: what a row costs that is
// written in batches, and how long queries take that people wait for.
package storebench
