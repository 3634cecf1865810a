package pattern

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestFields: what patterns capture and set, and not what they mean literally.
func TestFields(t *testing.T) {
	files, problems := Load(fstest.MapFS{"a.yaml": {Data: []byte(`name: acme
programs: [acmed]
patterns:
  - pattern: 'login of <user> from <peer:host>[: <why?>] \<not_one\> <_>'
    set: {event_action: login}
`)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []string{"ambiguous", "event_action", "extract_defect", "peer_host", "peer_ip", "program", "repeat_count", "user", "why"}
	if d := cmp.Diff(want, Fields(files...)); d != "" {
		t.Errorf("fields differ (-want +got):\n%s", d)
	}
}
