// Package ironpostv1 is version 1 of the wire between the Ironpost host and its
// plugins: the messages and services generated from the .proto files, the
// Frame codec that moves batches without decoding their payload, and the
// handshake.
//
// # Frames
//
// On every event stream the message is Batch. Its header fields have numbers
// below 16 and come first; the records follow. A Frame is a Batch whose header
// is decoded and whose records are bytes. The host routes Frames and never
// looks into the bytes; the SDK decodes them in place. Any protobuf library of
// any language reads and writes the same bytes as the plain message Batch.
//
// # Versions
//
// API is the integer that a plugin states in its description and in the
// go-plugin handshake. A host serves API and API-1.
package ironpostv1
