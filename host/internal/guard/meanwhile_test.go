package guard

import (
	"context"
	"slices"
	"testing"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// slowDisk is a journal whose disk is slow about what became of evidence.
type slowDisk struct {
	*tape
	release chan struct{}
}

func (d *slowDisk) Wait(_ context.Context, index uint64) error {
	d.mu.Lock()
	a := d.events[index-1]
	d.mu.Unlock()
	if a.Action == "evidence" && a.Outcome == pb.Outcome_OUTCOME_APPLIED {
		<-d.release
	}
	return nil
}

// TestEvidenceIsToldMeanwhile has the disk take long about the end of evidence: the
// isolation after it is prepared meanwhile, and not announced before that is told and
// kept. A host that is killed then collects again, and tells of it, and isolates once.
func TestEvidenceIsToldMeanwhile(t *testing.T) {
	w := newWorld(t)
	disk := &slowDisk{w.tape, make(chan struct{})}
	w.config.Journal, w.guard.Journal = disk, disk
	w.run()
	evidence := isolate("a1", "release_needed", "false")
	evidence.Id, evidence.Action = "evidence-of-a1", "evidence"
	w.decide(evidence)
	w.decide(isolate("a1"))
	w.poll("the isolation is prepared", func() bool { return w.engine.made() == 3 })
	if got := w.state("intent-of-a1"); got != Approved {
		t.Errorf("the isolation is %s before the evidence is told", got)
	}
	dir := w.snapshot()
	close(disk.release)
	w.until("intent-of-a1", Applied)
	if got := w.state("evidence-of-a1"); got != Done {
		t.Errorf("the evidence is %s when the container is isolated", got)
	}
	w.engine.mu.Lock()
	delete(w.engine.isolated, "container-of-a1") // in the life that the snapshot is of
	w.engine.mu.Unlock()
	w.crash(dir)
	w.until("intent-of-a1", Applied)
	if got := w.state("evidence-of-a1"); got != Done {
		t.Errorf("the evidence is %s when the container is isolated", got)
	}
	want := []pb.Outcome{pb.Outcome_OUTCOME_PLANNED, pb.Outcome_OUTCOME_APPLIED, pb.Outcome_OUTCOME_APPLIED}
	for _, id := range []string{"evidence-of-a1", "intent-of-a1"} { // once in each life
		if got := w.tape.outcomes(id); !slices.Equal(got, want) {
			t.Errorf("told of %s is %v, want %v", id, got, want)
		}
	}
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	for i, call := range []string{"prepare", "execute", "prepare", "execute", "prepare", "execute", "prepare", "execute"} {
		if i >= len(w.engine.calls) || w.engine.calls[i] != call+" container-of-a1" {
			t.Fatalf("the calls are %q", w.engine.calls)
		}
	}
}
