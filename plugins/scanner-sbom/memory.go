package main

import (
	"context"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// memory scans folders, and remembers them if it may.
type memory struct{ scans *recall.Memory }

func newMemory(c *config) memory {
	if !c.Remember {
		return memory{}
	}
	return memory{recall.Open(c.DatabaseDir)}
}

// scan makes the inventory of a folder; of one that is remembered it reads what changed.
func (m memory) scan(ctx context.Context, root tree.Root, c scan.Config) (*inventory.Inventory, scan.Stats, error) {
	if m.scans == nil {
		return scan.Dir(ctx, root, c)
	}
	return m.scans.Scan(ctx, root, c)
}

// keep writes down what scans found. A scan is no worse when that is not possible.
func (s *scanner) keep() {
	if s.memory.scans == nil {
		return
	}
	if err := s.memory.scans.Save(); err != nil {
		s.log.Warn("the next scan reads everything again; make sbom.database_dir writable, or set sbom.remember = false", "error", err)
	}
}
