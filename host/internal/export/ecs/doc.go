// Package ecs writes alerts and actions as documents of the Elastic Common Schema, as
// Elasticsearch and Kibana's security application read them.
//
// An alert has event.kind alert. What the schema has no field for is below ironpost:
// its state and silence, its fingerprint, what its evidence is worth, and its entities and
// details, which are best mapped as flattened. Texts of attackers are escaped as package
// view does it.
//
// The tests hold documents to testdata/ecs-8.17.json, which names the fields that are
// written, their types, and the values that Elastic allows for event.kind, event.category
// and event.type, and which of these go together.
package ecs
