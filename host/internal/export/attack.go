package export

import (
	"regexp"
	"slices"
	"strings"
)

// Framework is what techniques and tactics belong to.
const Framework = "MITRE ATT&CK"

// Tactic is a tactic of MITRE ATT&CK.
type Tactic struct{ ID, Name string }

// Technique is a technique; Sub is the id of its sub-technique, "" for none.
type Technique struct{ ID, Sub string }

// tactics are those of the matrix for enterprises, by their Sigma tag.
func tactics() map[string]Tactic {
	return map[string]Tactic{
		"reconnaissance":       {"TA0043", "Reconnaissance"},
		"resource-development": {"TA0042", "Resource Development"},
		"initial-access":       {"TA0001", "Initial Access"},
		"execution":            {"TA0002", "Execution"},
		"persistence":          {"TA0003", "Persistence"},
		"privilege-escalation": {"TA0004", "Privilege Escalation"},
		"defense-evasion":      {"TA0005", "Defense Evasion"},
		"credential-access":    {"TA0006", "Credential Access"},
		"discovery":            {"TA0007", "Discovery"},
		"lateral-movement":     {"TA0008", "Lateral Movement"},
		"collection":           {"TA0009", "Collection"},
		"exfiltration":         {"TA0010", "Exfiltration"},
		"command-and-control":  {"TA0011", "Command and Control"},
		"impact":               {"TA0040", "Impact"},
	}
}

// Attack reads the tags of rules. It is safe for concurrent use; make it with NewAttack.
type Attack struct {
	tactics   map[string]Tactic
	technique *regexp.Regexp
}

// NewAttack returns a reader of tags.
func NewAttack() *Attack {
	return &Attack{tactics(), regexp.MustCompile(`^t\d{4}(\.\d{3})?$`)}
}

// Read returns the tactics and techniques among tags, each once, in their order.
func (r *Attack) Read(tags []string) (tactics []Tactic, techniques []Technique) {
	for _, tag := range tags {
		name, ok := strings.CutPrefix(strings.ToLower(tag), "attack.")
		if !ok {
			continue
		}
		name = strings.ReplaceAll(name, "_", "-") // as older rules write it
		if t, ok := r.tactics[name]; ok && !slices.Contains(tactics, t) {
			tactics = append(tactics, t)
		}
		if !r.technique.MatchString(name) {
			continue
		}
		t := Technique{ID: strings.ToUpper(name[:5])}
		if len(name) > 5 {
			t.Sub = strings.ToUpper(name)
		}
		if !slices.Contains(techniques, t) {
			techniques = append(techniques, t)
		}
	}
	return tactics, techniques
}
