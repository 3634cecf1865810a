// Package machine looks at what this machine has: its own folders, and the containers and
// images of its Docker. It is the eyes of package watch.
package machine
