package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// maxLeftOut is how much of what is left out of one bundle is told of.
const maxLeftOut = 5

// leftOut knows what the plugins did not take of the files that they were given.
// The zero value is ready; it is safe for concurrent use.
type leftOut struct {
	mu sync.Mutex
	// texts are sentences by plugin and bundle.
	texts map[[2]string][]string
}

// report takes note of what became of a bundle, in place of what was said of it
// before.
func (l *leftOut) report(plugin, bundle string, r *pb.BundleResponse) {
	var texts []string
	for i, bad := range r.Rejected {
		if i == maxLeftOut {
			naming := "ironpost plugin info " + plugin
			if bundle == rulesBundle {
				naming = "ironpost rules validate"
			}
			texts = append(texts, fmt.Sprintf("%s: %d more are left out; %s names them.", plugin, len(r.Rejected)-i, naming))
			break
		}
		where := bad.File
		if bad.Line > 0 {
			where = fmt.Sprintf("%s:%d", where, bad.Line)
		}
		if bad.Rule != "" {
			where += " (" + bad.Rule + ")"
		}
		texts = append(texts, fmt.Sprintf("%s left out %s: %s.", plugin, where, strings.TrimSuffix(bad.Reason, ".")))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.texts == nil {
		l.texts = make(map[[2]string][]string)
	}
	l.texts[[2]string{plugin, bundle}] = texts
}

// sentences returns what is left out, in one order.
func (l *leftOut) sentences() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(l.texts), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var out []string
	for _, k := range keys {
		out = append(out, l.texts[k]...)
	}
	// One file may be given to several plugins.
	return slices.Compact(out)
}
