// Package export holds what schemas of others ask of alerts and actions; its folders write
// them in these: package ocsf in that of the Open Cybersecurity Schema Framework, package
// ecs in the Elastic Common Schema.
//
// A Subject is what an alert is about, by its entities and the events that it cites, with
// what cannot be that left out: an address is one, a port fits into 16 bits. Techniques and
// tactics of MITRE ATT&CK come from the tags of the rule, as Sigma writes them:
// attack.t1110.001, attack.credential-access.
package export
