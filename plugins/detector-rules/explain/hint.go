package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Hint says in a sentence or two why a rule raises no alert for events, or fewer
// than it should; "" when nothing is to be said.
func (x *Rules) Hint(id string, events []*event.LogEvent) string {
	out, err := x.Rule(sdk.RuleQuestion{Rule: id, Events: events, Limit: 3})
	if err != nil {
		return ""
	}
	return hint(&out)
}

func hint(x *sdk.RuleExplanation) string {
	switch {
	case x.Kind == "correlation" && len(x.Windows) == 0:
		for i := range x.Rules {
			if x.Rules[i].Matched == 0 {
				return x.Rules[i].ID + ": " + hint(&x.Rules[i])
			}
		}
	case x.Matched == 0 && len(x.Findings) > 0:
		f := &x.Findings[0]
		return fmt.Sprintf("no line matches; line %d: %s", f.Number, sentence(f.Finding))
	}
	for _, w := range x.Windows {
		if !w.Complete {
			return fmt.Sprintf("%d of %d lines match; %swanted are %s, found %s, missing %s",
				x.Matched, x.Events, groupOf(w.Group), w.Wanted, w.Found, strings.Join(w.Missing, ", "))
		}
	}
	if x.Ungrouped > 0 {
		return fmt.Sprintf("%d of %d lines match, and %d of them lack a field of the group", x.Matched, x.Events, x.Ungrouped)
	}
	return fmt.Sprintf("%d of %d lines match", x.Matched, x.Events)
}

func groupOf(group map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(group)) {
		out = append(out, fmt.Sprintf("%s %q: ", name, group[name]))
	}
	return strings.Join(out, "")
}
