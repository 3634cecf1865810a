// Package policy says which answer an alert about a container gets.
//
// A policy file holds YAML documents, one policy each:
//
//	name: web-cut-off          # unique, what people call it
//	description: ...
//	order: 100                 # the lower is asked first; then file and place in it
//	mode: simulate             # detect, simulate or enforce: the lesser of this and the host's
//	match:                     # all that is named must hold; of a list, one
//	  severity: high           # at least
//	  rule: ["web_*"]          # id of the rule
//	  tag: ["attack.*"]
//	  image: ["nginx:*"]       # as named, its id, or NAME@sha256:... of a registry
//	  name: ["web-*"]
//	  label: {tier: front}     # value is a pattern too
//	  network: [public]        # one that the container is attached to
//	  project: [shop]          # compose
//	actions: [evidence, net-isolate]
//	ttl: 1h                    # when everything is undone; 30d at the most
//	cooldown: 10m              # no second answer on the same container before
//	approvals: 1               # operators that have to agree first: 0, 1 or 2
//	otherwise: pause           # where it cannot be isolated alone: notify, pause or stop
//	enabled: true
//
// Patterns know * and ?, and nothing else. An action is a word, or net-isolate with
// what it concerns: {net-isolate: {networks: [public]}} takes the container off
// those alone, {net-isolate: {quarantine: true}} moves it to a network that leads
// nowhere. notify does nothing else; evidence collects, {evidence: {export: true}} the
// files of the container too; pause, stop and kill act on the whole container.
//
// The first policy that matches decides, and the others are not asked. One that
// names nothing is invalid, and so is one that changes a container and names nothing
// of it: who means all of them writes name: ["*"].
//
// A file of the suffix .toml is one policy of the form that Ironpost had before:
// id, name, description, enabled, severity_threshold, priority, [target_filter] with
// container_names and image_patterns, and [action] with NetworkDisconnect, Pause or
// Stop. It knows no time to live and takes the plugin's.
//
// What is wrong in a file is reported with its line, and leaves out that policy alone.
package policy
