// Package stored is the form in which stores keep events: JSON documents beside the
// columns that a store searches. What is written stays readable: members may be added,
// and none changes its meaning.
//
// Decoded events share no memory with the document but its slices; the caller owns both.
package stored
