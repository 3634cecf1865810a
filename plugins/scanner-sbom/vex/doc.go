// Package vex reads and writes statements about which flaws matter to which products:
// OpenVEX, CycloneDX VEX and CSAF 2.0 in, OpenVEX out.
//
//	doc, err := vex.Read(data)
//	notes := vex.Apply(result.Findings, vex.Options{}, doc)
//
// A statement is about a finding when it names the flaw by any of its names, and the
// package, or a product that is the package, by its package URL. A URL without version is
// about all versions, one without qualifiers about all; what it has must fit.
//
// Of the statements about a finding the newest decides, of equally new ones the last of the
// last document. not_affected and fixed suppress a finding; not_affected needs a
// justification or an impact statement, as OpenVEX demands, or it is not believed and
// told. A suppressed finding stays in the list with the statement: nothing
// disappears. affected and under_investigation change nothing.
//
// Documents are data of others: sizes and counts are bounded, an error says what was wrong,
// and a statement without a product that can be told is a [Note] rather than one about
// everything.
package vex
