package host

import (
	"regexp"
	"slices"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// patternsBundle is the bundle that parsers read patterns of messages from.
const patternsBundle = "extract"

// isPatterns tells the files of patterns from rules, which may lie in the same
// folder.
var isPatterns = regexp.MustCompile(`(?m)^(patterns|lines):`)

// hasPatterns wants the parsers that read patterns of messages.
func hasPatterns(d *pb.Description) bool {
	return slices.Contains(d.Kinds, "parser") &&
		slices.ContainsFunc(d.Bundles, func(b *pb.BundleSpec) bool { return b.Name == patternsBundle })
}
