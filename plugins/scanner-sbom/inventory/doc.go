// Package inventory says what software a tree holds: its packages, where they were
// found, what they need, and what could not be read. It is what all other packages
// of the scanner talk about; how it is found, written, or compared with advisories
// is none of its business.
package inventory
