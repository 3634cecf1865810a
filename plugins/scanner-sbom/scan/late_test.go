package scan_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

func TestMain(m *testing.M) {
	if os.Getenv("HOSTILE_TREE") != "" {
		os.Exit(m.Run()) // the library for rpm leaves a goroutine behind with a damaged database
	}
	goleak.VerifyTestMain(m)
}

// A scan ends though a reader never does, whatever the number of files that make it
// hang: all of them are named, and what other readers find is there.
func TestReadersThatNeverEnd(t *testing.T) {
	files := map[string]string{}
	var want []string
	for i := range 40 {
		files[fmt.Sprintf("d%02d/endless", i)] = ""
		files[fmt.Sprintf("d%02d/fine", i)] = fmt.Sprint(i)
		want = append(want, fmt.Sprintf("d%02d/endless timeout", i))
	}
	root := grow(t, files)
	for _, workers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var asked atomic.Int32
			left := &scan.Left{}
			began := time.Now()
			v, stats, err := scan.Dir(t.Context(), root, scan.Config{
				Limits: scan.Limits{FileTime: 30 * time.Second}, Workers: workers, Left: left,
				Readers: []*extract.Reader{
					{Name: "endless", Names: []string{"endless"}, Read: func(context.Context, extract.Input) ([]*inventory.Package, error) {
						asked.Add(1)
						<-release
						return []*inventory.Package{{Name: "late"}}, nil
					}},
					{Name: "fine", Names: []string{"fine"}, Read: func(_ context.Context, in extract.Input) ([]*inventory.Package, error) {
						return []*inventory.Package{{Name: in.Path}}, nil
					}},
				},
			})
			took := time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
			packages, problems := lines(v)
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if len(packages) != 40 || slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(p, "late") }) {
				t.Errorf("%d packages, want those of 40 files: %q", len(packages), packages)
			}
			if n := int(asked.Load()); n > 2+workers || left.Now() != n || stats.Problems != 40 {
				t.Errorf("%d workers: %d readings, %d left behind, %d problems; want %d readings at most, all left behind", workers, n, left.Now(), stats.Problems, 2+workers)
			}
			// Two late ones, and one more that waits for them, a time each, and its own.
			if took > 4*30*time.Second {
				t.Errorf("%d workers: the scan took %v", workers, took)
			}
			close(release)
			synctest.Wait()
			if left.Now() != 0 {
				t.Errorf("%d are left when all have ended", left.Now())
			}
		})
	}
}

// A reader that is only slow is waited for, and one that reads on and on comes to its
// end with its time.
func TestReadersThatAreSlow(t *testing.T) {
	files := map[string]string{}
	for i := range 6 {
		files[fmt.Sprintf("d%d/slow", i)] = ""
		files[fmt.Sprintf("d%d/reads", i)] = "x"
	}
	root := grow(t, files)
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		left := &scan.Left{}
		v, _, err := scan.Dir(t.Context(), root, scan.Config{
			Limits: scan.Limits{FileTime: 30 * time.Second}, Workers: 1, Left: left,
			Readers: []*extract.Reader{
				{Name: "slow", Names: []string{"slow"}, Read: func(context.Context, extract.Input) ([]*inventory.Package, error) {
					asked.Add(1)
					time.Sleep(55 * time.Second) // of the bubble's time
					return nil, nil
				}},
				{Name: "reads", Names: []string{"reads"}, Read: func(_ context.Context, in extract.Input) ([]*inventory.Package, error) {
					var b [1]byte
					for {
						if _, err := in.Body.ReadAt(b[:], 0); err != nil {
							return nil, err
						}
						time.Sleep(time.Second) // of the bubble's time
					}
				}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, problems := lines(v)
		if len(problems) != 12 || asked.Load() != 6 {
			t.Errorf("%d readings, problems %q; want 6, and one for each file", asked.Load(), problems)
		}
		time.Sleep(time.Minute) // of the bubble's time
		if left.Now() != 0 {
			t.Errorf("%d are left behind", left.Now())
		}
	})
}
