package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// A plugin in which a reader does not come to an end is ended, and one in which it does
// goes on.
func TestStuck(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), "")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for name, c := range map[string]struct {
		reads time.Duration
		stuck bool
	}{"for ever": {100 * time.Hour, true}, "long": {stuckFor / 2, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scanner{}
				release, free := context.WithCancel(t.Context())
				defer free()
				_, _, err := scan.Dir(t.Context(), root, scan.Config{Left: &s.left, Readers: []*extract.Reader{{
					Name: "x", Names: []string{"x"}, Read: func(context.Context, extract.Input) ([]*inventory.Package, error) {
						select {
						case <-time.After(c.reads):
						case <-release.Done():
						}
						return nil, nil
					},
				}}})
				if err != nil || s.left.Now() != 1 {
					t.Fatalf("the scan: error %v, %d left behind, want 1", err, s.left.Now())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*stuckFor)
				defer cancel()
				err = s.unlessStuck(ctx, func(ctx context.Context) error {
					<-ctx.Done()
					return nil
				})
				if errors.Is(err, errStuck) != c.stuck || (err != nil) != c.stuck {
					t.Errorf("error %v, want it stuck: %t", err, c.stuck)
				}
			})
		})
	}
}
