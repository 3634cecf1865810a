package roster

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestGrantLimits(t *testing.T) {
	log := t.TempDir()
	at := func(name string) string { return filepath.Join(log, name) }
	asked := &pb.Permissions{
		Listen: []string{"config:listen"}, Read: []string{"/etc/acme", "config:paths"}, Commands: []string{"journalctl"}, Processes: true,
	}
	section := func(paths ...any) map[string]any {
		return map[string]any{"paths": paths, "listen": "udp://0.0.0.0:514"}
	}
	granted := func(values map[string][]string) *grant { return &grant{asked, values} }
	values := map[string][]string{"listen": {"udp://0.0.0.0:514"}, "paths": {at("*.log")}}
	for _, tt := range []struct {
		name    string
		grant   *grant
		section map[string]any
		want    *pb.Permissions
		beyond  []string
	}{
		{
			"no pin cuts nothing", nil, section("/etc/shadow"),
			&pb.Permissions{
				Listen: []string{"udp://0.0.0.0:514"}, Read: []string{"/etc/acme", "/etc/shadow"}, Commands: []string{"journalctl"}, Processes: true,
			},
			nil,
		},
		{
			"what was there when it was granted", granted(values), section(at("*.log")),
			&pb.Permissions{
				Listen: []string{"udp://0.0.0.0:514"}, Read: []string{"/etc/acme", at("*.log")}, Commands: []string{"journalctl"}, Processes: true,
			},
			nil,
		},
		{
			"a file in a directory that was granted", granted(values), section(at("a.log"), at("sub/b.log")),
			&pb.Permissions{
				Listen: []string{"udp://0.0.0.0:514"}, Read: []string{"/etc/acme", at("a.log"), at("sub/b.log")}, Commands: []string{"journalctl"}, Processes: true,
			},
			nil,
		},
		{
			"wider", granted(values),
			map[string]any{"paths": []any{at("a.log"), "/etc/shadow", "/", log + "-other/x"}, "listen": "udp://0.0.0.0:53"},
			&pb.Permissions{Read: []string{"/etc/acme", at("a.log")}, Commands: []string{"journalctl"}, Processes: true},
			[]string{
				"listen udp://0.0.0.0:53 (listen says so since the plugin was enabled)",
				"read /etc/shadow (paths says so since the plugin was enabled)",
				"read / (paths says so since the plugin was enabled)",
				"read " + log + "-other/x (paths says so since the plugin was enabled)",
			},
		},
		{
			"values that were not noted", granted(nil), section("/etc/shadow"),
			&pb.Permissions{
				Listen: []string{"udp://0.0.0.0:514"}, Read: []string{"/etc/acme", "/etc/shadow"}, Commands: []string{"journalctl"}, Processes: true,
			},
			nil,
		},
		{
			"a description that asks for more than its pin", &grant{&pb.Permissions{Read: []string{"/etc/acme"}}, map[string][]string{}}, section(at("a.log")),
			&pb.Permissions{Read: []string{"/etc/acme"}},
			[]string{"listen config:listen", "read config:paths", "command journalctl", "new processes"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, beyond := tt.grant.limit(asked, tt.section)
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("granted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.beyond, beyond); diff != "" {
				t.Errorf("not granted (-want +got):\n%s", diff)
			}
		})
	}
}
