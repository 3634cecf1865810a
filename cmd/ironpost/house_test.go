package main_test

import (
	"os"
	"testing"
)

// The house: which folders there are, and who may import whom. The tables here
// are the rules; layers_test.go holds the tree to them. A folder or a library
// that is missing from a table fails the test, and is added here together with
// its reason, or not at all.

// module is the module's path.
const module = "github.com/ironpost/ironpost"

// topLevel are the folders beside go.mod. Those that are true have to be there.
var topLevel = map[string]bool{
	"cmd": true, "host": true, "sdk": true, "plugins": true, "proto": true, "bpf": true,
	"rules": true, "docs": true, ".ci": true, "packaging": false,
	".git": false, "build": false, "dist": false, // not part of the sources
}

// directions says what the product code of a layer may import of the module
// beside its own layer. A plugin is a layer of its own: plugins/<name>.
//
// A test may import what the product code of its layer may, and the packages
// of testOnly that lie in its own layer or in one that it may import. rules is
// data; it has tests alone, which run the parsers and the rule engine over it.
var directions = map[string][]string{
	"cmd":              {"host"},
	"host":             {"sdk", "sdk/event", "proto", "bpf"},
	"sdk":              {"sdk/event", "proto"},
	"sdk/event":        {},
	"proto":            {},
	"bpf":              {},
	"plugins/internal": {"sdk", "sdk/event", "rules/extract"},
	"plugins/*":        {"sdk", "sdk/event", "plugins/internal"},
	"rules":            {"sdk", "sdk/event", "plugins/internal", "plugins/*"},
	"rules/extract":    {}, // the patterns that are built into the parsers, embedded
}

// testOnly are packages that exist for tests: no product code imports them.
var testOnly = map[string]string{
	"cmd/ironpost/internal/hosttest":  "runs the real program for the end-to-end tests",
	"sdk/sdktest":                     "a fake host and the conformance suite of every kind",
	"host/benchtest":                  "the tables and files that benchmarks leave",
	"host/internal/export/exporttest": "alerts and actions of every kind, hostile ones too",
	"host/nettest":                    "network namespaces, veth pairs and bounded floods",
	"plugins/internal/corpus":         "the files of the public log collections",

	"plugins/internal/enginetest": "a dockerd of the test's own, in a namespace",
	"plugins/internal/pgtest":     "a PostgreSQL of the test's own, with its data",
	"plugins/internal/redistest":  "a Redis of the test's own, with its data",
	"plugins/internal/storebench": "what stores take and cost, the same events in each",

	"plugins/scanner-sbom/document/documenttest": "holds documents to the published schemas",
}

// standardOnly are layers whose product code imports nothing but the standard
// library.
var standardOnly = []string{"sdk/event"}

// restricted says which packages alone may import something.
var restricted = map[string][]string{
	"github.com/cilium/ebpf": {"bpf", "host/internal/xdp", "host/nettest"},
	module + "/bpf":          {"bpf", "host/internal/xdp"},
	// Frozen upstream: to be replaced in one place (docs/adr/0018).
	"github.com/docker/docker": {"plugins/enforcer-docker/engine"},
	// What of it a user with the least rights may call is known in one place (docs/adr/0023).
	"github.com/redis/go-redis": {"plugins/state-redis/engine"},
}

// hostImports is everything from outside that the host links, with the reason.
// The host stays slim: the kernel, plugins, the wire, configuration, its own
// small state store, metrics, the command line. A database driver, a container
// client or a web framework belongs into a plugin.
var hostImports = map[string]string{
	"github.com/cilium/ebpf":                         "kernel: loads the packet filter and its maps",
	"github.com/vishvananda/netlink":                 "kernel: finds interfaces, how XDP is attached to them, and when they come and go",
	"golang.org/x/sys/unix":                          "kernel: the sandbox, sockets and their peers, locks",
	"golang.org/x/net/bpf":                           "kernel: assembles the seccomp filter",
	"golang.org/x/sync/errgroup":                     "plugins: starts many at once, bounded",
	"golang.org/x/sync/semaphore":                    "pipeline: bounds what waits for the disk, by bytes",
	"github.com/hashicorp/go-plugin":                 "plugins: handshake and life of a plugin process",
	"github.com/hashicorp/go-hclog":                  "plugins: the logger that go-plugin and the SDK speak",
	"github.com/jedisct1/go-minisign":                "plugins: checks the signatures of third parties' binaries",
	"google.golang.org/grpc":                         "wire: streams to plugins, the control socket",
	"google.golang.org/protobuf":                     "wire: the messages",
	"github.com/knadh/koanf/v2":                      "configuration: merges command line, environment, file, defaults",
	"github.com/knadh/koanf/parsers/toml/v2":         "configuration: reads the file",
	"github.com/knadh/koanf/providers/confmap":       "configuration: takes defaults and flags",
	"github.com/knadh/koanf/providers/env/v2":        "configuration: takes the environment",
	"github.com/pelletier/go-toml/v2":                "configuration: the line of each key, for messages",
	"github.com/fsnotify/fsnotify":                   "configuration: tells when the file or a rule changed",
	"github.com/prometheus/client_golang/prometheus": "metrics: the formats that scrapers read",
	"go.etcd.io/bbolt":                               "state: checkpoints, plugin state, pins, blocks",
	"github.com/spf13/cobra":                         "command line: verbs, flags, completion",
	"github.com/gopacket/gopacket":                   "command line: writes captured packets as pcapng",
}

// badNames are names that say nothing about what a package is for.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "type", "types", "model", "models", "manager", "managers"}

// TestHouse holds the tree to the tables above. It reads the files itself, for
// every operating system and build tag.
func TestHouse(t *testing.T) {
	for _, fault := range faults(t, os.DirFS("../..")) {
		t.Error(fault)
	}
}
