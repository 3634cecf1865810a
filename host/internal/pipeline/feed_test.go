package pipeline

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// raise journals alerts.
func (w *world) raise(titles ...string) {
	w.t.Helper()
	for _, title := range titles {
		if _, err := w.config.Alert(&pb.AlertEvent{Id: title[:1], Title: title}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// titles returns the first letters of the next alerts, up to want.
func titles(t *testing.T, p *peer, kind string, want int) string {
	t.Helper()
	var got string
	for len(got) < want {
		f := p.next(kind)
		b, err := f.Batch()
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range b.Alerts {
			if int(a.Offset) != i {
				t.Errorf("alert %s has offset %d, want %d", a.Id, a.Offset, i)
			}
			got += a.Title[:1]
		}
		p.done(kind, f.Number)
	}
	p.quiet(kind)
	return got
}

func enforcer() *pb.Description { return &pb.Description{Name: "enf", Kinds: []string{"enforcer"}} }

func TestWhereConsumersBegin(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, nil)
	w.raise("a", "b")
	k, e := start(t, w.add(sink(pb.Kind_KIND_ALERT))), start(t, w.add(enforcer()))
	if got := titles(t, k, "sink", 2); got != "ab" {
		t.Errorf("a new sink got %q, want ab", got)
	}
	e.quiet("enforcer") // nobody acts on old alerts
	w.raise("c")
	if got := titles(t, e, "enforcer", 1); got != "c" {
		t.Errorf("the enforcer got %q, want c", got)
	}
	k.kill()
	w.raise("d") // while the sink is down
	e.kill()
	w.stop()
	w = newWorld(t, dir, nil)
	k, e = start(t, w.add(sink(pb.Kind_KIND_ALERT))), start(t, w.add(enforcer()))
	if got := titles(t, k, "sink", 2); got != "cd" {
		t.Errorf("after a restart the sink got %q, want cd: it kept neither", got)
	}
	if got := titles(t, e, "enforcer", 1); got != "d" {
		t.Errorf("after a restart the enforcer got %q, want d", got)
	}
}

// TestSilencedAlertsGoToNoEnforcer has alerts that a silence holds back among others.
func TestSilencedAlertsGoToNoEnforcer(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, nil)
	k, e := start(t, w.add(sink(pb.Kind_KIND_ALERT))), start(t, w.add(enforcer()))
	for title := range strings.SplitSeq("a B C d E f g H", " ") {
		a := &pb.AlertEvent{Id: title, Title: title, Description: "between", Hops: 1}
		if strings.ToUpper(title) == title {
			a.SilencedBy = "5a"
		}
		if _, err := w.config.Alert(a); err != nil {
			t.Fatal(err)
		}
	}
	if got := titles(t, k, "sink", 8); got != "aBCdEfgH" {
		t.Errorf("the sink got %q, want all: aBCdEfgH", got)
	}
	if got := titles(t, e, "enforcer", 4); got != "adfg" {
		t.Errorf("the enforcer got %q, want adfg: no silence holds these back", got)
	}
	e.kill()
	w.stop()
	w = newWorld(t, dir, nil)
	e = start(t, w.add(enforcer()))
	e.quiet("enforcer") // those that were passed over do not come later
	w.raise("i")
	if got := titles(t, e, "enforcer", 1); got != "i" {
		t.Errorf("after a restart the enforcer got %q, want i", got)
	}
}

// TestALostJournalHoldsNobodyUp has positions that are ahead of the journal.
func TestALostJournalHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, nil)
	k, e := start(t, w.add(sink(pb.Kind_KIND_ALERT))), start(t, w.add(enforcer()))
	w.raise("a", "b", "c")
	titles(t, k, "sink", 3)
	titles(t, e, "enforcer", 3)
	k.kill()
	e.kill()
	w.stop()
	if err := os.RemoveAll(dir + "/journal"); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, dir, nil)
	k, e = start(t, w.add(sink(pb.Kind_KIND_ALERT))), start(t, w.add(enforcer()))
	w.raise("d", "e")
	if got := titles(t, k, "sink", 2); got != "de" {
		t.Errorf("the sink got %q, want de", got)
	}
	if got := titles(t, e, "enforcer", 2); got != "de" {
		t.Errorf("the enforcer got %q, want de", got)
	}
}

// TestLargeAlertsTravelInSeveralBatches would otherwise end every sink's link,
// again and again.
func TestLargeAlertsTravelInSeveralBatches(t *testing.T) {
	w := newWorld(t, t.TempDir(), func(c *Config) { c.RetainedBytes = 16 << 20 })
	var large []string
	for _, c := range "abcdef" {
		large = append(large, strings.Repeat(string(c), maxEvent-40))
	}
	w.raise(large...)
	data, err := proto.Marshal(&pb.AlertEvent{Id: "x", Title: strings.Repeat("x", maxEvent)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.journal.Append(uint8(pb.Kind_KIND_ALERT), data); err != nil {
		t.Fatal(err)
	}
	w.raise("z")
	m := w.add(sink(pb.Kind_KIND_ALERT))
	if got := titles(t, start(t, m), "sink", 7); got != "abcdefz" {
		t.Errorf("the sink got %q, want abcdefz", got)
	}
	if got := m.Dropped.Load(); got != 1 {
		t.Errorf("dropped %d, want the one that no batch can hold", got)
	}
}
