// Package ocsf writes alerts and actions as events of the Open Cybersecurity Schema
// Framework, version 1.8.0.
//
// An alert is a Detection Finding (class 2004): open is New, acknowledged In Progress,
// closed Resolved, and what a silence holds back and nobody looked at Suppressed. An action
// that changes something is a Remediation Activity (class 7001): what keeps traffic or a
// process away is Isolate, what ends a process Evict, and what takes either back Restore.
// Actions that tell or record something are none; see Remediates.
//
// What the schema has no place for is in unmapped. Texts of attackers are escaped as
// package view does it.
//
// The tests hold documents to testdata/ocsf-1.8.0.json, which states of both classes and
// the objects in them which attributes there are, of which types and values, and which are
// needed, as the export of schema.ocsf.io for version 1.8.0 has it.
package ocsf
