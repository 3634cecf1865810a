package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Every field of the message is shown: one that is added later and forgotten
// here would be granted unseen.
func TestPermissionsShowsEveryField(t *testing.T) {
	fields := new(ironpostv1.Permissions).ProtoReflect().Descriptor().Fields()
	if got := len(PermissionLists(nil)) + len(PermissionFlags(nil)); got != fields.Len() {
		t.Errorf("got %d permissions shown, want the %d of the message", got, fields.Len())
	}
	p := &ironpostv1.Permissions{
		Listen: []string{"udp://0.0.0.0:514"}, Read: []string{"/a", "config:paths"}, Commands: []string{"journalctl"},
		Docker: []string{"read"}, Services: []string{"processes"}, BaseFiles: true, Processes: true,
	}
	want := []string{
		"listen udp://0.0.0.0:514", "read /a", "read config:paths", "command journalctl", "docker read", "service processes",
		"base files", "new processes",
	}
	if diff := cmp.Diff(want, Permissions(p)); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
	if got := Permissions(nil); got != nil {
		t.Errorf("got %v of no permissions", got)
	}
}
