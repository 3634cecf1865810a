package policy

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/ironpost/ironpost/sdk/event"
)

// oldPolicy is a policy in the form that Ironpost had before.
type oldPolicy struct {
	ID           string `toml:"id"`
	Name         string `toml:"name"`
	Description  string `toml:"description"`
	Enabled      *bool  `toml:"enabled"`
	Severity     string `toml:"severity_threshold"`
	Priority     int    `toml:"priority"`
	TargetFilter struct {
		Names  []string `toml:"container_names"`
		Images []string `toml:"image_patterns"`
		Labels []string `toml:"labels"`
	} `toml:"target_filter"`
	// Action is a word, or a table of one member.
	Action any `toml:"action"`
}

// parseTOML reads one policy in the old form. What it returns beside an error may
// be incomplete.
func parseTOML(data []byte, ttl time.Duration) (*Policy, error) {
	var old oldPolicy
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&old); err != nil {
		if missing, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(missing.Errors) > 0 {
			row, _ := missing.Errors[0].Position()
			return nil, &lineError{row, fmt.Errorf("%w: %q is not known", errInvalid, bounded(fmt.Sprint(missing.Errors[0].Key())))}
		}
		if wrong, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, _ := wrong.Position()
			return nil, &lineError{row, fmt.Errorf("%w: %s", errSyntax, bounded(wrong.Error()))}
		}
		return nil, fmt.Errorf("%w: %s", errSyntax, bounded(err.Error()))
	}
	p := &Policy{
		Name: old.ID, Description: bounded(old.Description), Line: 1, Order: old.Priority, TTL: ttl,
		Disabled: old.Enabled != nil && !*old.Enabled, Otherwise: Notify,
	}
	wrong := func(format string, args ...any) (*Policy, error) {
		return p, fmt.Errorf("%w: "+format, append([]any{errInvalid}, args...)...)
	}
	severity, ok := event.ParseSeverity(old.Severity)
	switch {
	case !validName.MatchString(p.Name):
		return wrong("id %q: want at most 64 letters, digits, dots, hyphens and underscores", bounded(p.Name))
	case !ok:
		return wrong("severity_threshold %q: want Info, Low, Medium, High or Critical", bounded(old.Severity))
	case p.Order < 0 || p.Order > 1_000_000:
		return wrong("priority %d: want 0 to 1000000", p.Order)
	}
	p.Match.Severity = severity
	for _, list := range []struct {
		name string
		from []string
		to   *[]string
	}{{"container_names", old.TargetFilter.Names, &p.Match.Names}, {"image_patterns", old.TargetFilter.Images, &p.Match.Images}} {
		if len(list.from) > maxList {
			return wrong("%s: more than %d patterns", list.name, maxList)
		}
		for _, s := range list.from {
			if s == "" || len(s) > maxText {
				return wrong("%s: want texts of 1 to %d bytes", list.name, maxText)
			}
		}
		*list.to = list.from
	}
	if len(old.TargetFilter.Labels) > 0 {
		// They were never asked there; to ask them now would change what the file means.
		return wrong("target_filter.labels were never in force; write the policy in YAML")
	}
	a, err := oldAction(old.Action)
	if err != nil {
		return p, err
	}
	p.Actions = []Action{a}
	return p, nil
}

// oldAction reads "Pause", {Pause = []} or {NetworkDisconnect = {networks = [...]}}.
func oldAction(v any) (Action, error) {
	verbs := map[string]string{"Pause": Pause, "Stop": Stop, "NetworkDisconnect": NetIsolate}
	wrong := fmt.Errorf("%w: action: want Pause, Stop or NetworkDisconnect with networks", errInvalid)
	if word, ok := v.(string); ok && verbs[word] != "" && word != "NetworkDisconnect" {
		return Action{Verb: verbs[word]}, nil
	}
	table, ok := v.(map[string]any)
	if !ok || len(table) != 1 {
		return Action{}, wrong
	}
	for word, value := range table {
		a := Action{Verb: verbs[word]}
		if a.Verb != NetIsolate {
			list, isList := value.([]any)
			if a.Verb == "" || !isList || len(list) > 0 {
				return Action{}, wrong
			}
			return a, nil
		}
		with, ok := value.(map[string]any)
		networks, isList := with["networks"].([]any)
		if !ok || len(with) != 1 || !isList || len(networks) == 0 || len(networks) > maxNetworks {
			return Action{}, wrong
		}
		for _, n := range networks {
			name, ok := n.(string)
			if !ok || !validNetwork.MatchString(name) {
				return Action{}, wrong
			}
			a.Networks = append(a.Networks, name)
		}
		return a, nil
	}
	return Action{}, wrong
}
