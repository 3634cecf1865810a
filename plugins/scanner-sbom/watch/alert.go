package watch

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/sdk/event"
)

// The rules under which alerts are raised.
const (
	RuleInUse     = "vulnerable_package_in_use"
	RuleExploited = "exploited_package"
	RuleUnowned   = "unowned_executable"
	RuleInstalled = "package_installed_at_run_time"
	RuleDatabase  = "package_database_changed"
)

// maxNamed is how many findings an alert names.
const maxNamed = 16

// notice is an alert with what it says that has not been said before.
type notice struct {
	alert *event.AlertEvent
	// subject is what it is about; said are the single things that it says of that.
	subject string
	said    []string
}

// causes returns what a target gives cause for. fresh says of a rule, a subject
// and a thing whether it has not been told; severities below least are left out.
func (s *state) causes(least event.Severity, fresh func(rule, subject, thing string) bool) []cause {
	if !s.target.runs() || s.holding == nil {
		return nil
	}
	var out []cause
	vulnerable := func(rule string, p *inventory.Package, use Use, matters func(*match.Finding) bool) {
		ref := p.Ref()
		var list []*match.Finding
		for _, f := range s.findings[ref] {
			if matters(f) && counts(f) && severity(f) >= least && fresh(rule, ref, f.ID) {
				f, program := s.judged(f)
				list = append(list, f)
				if i := slices.IndexFunc(use.Users, func(u User) bool { return u.Path == "/"+program }); i >= 0 && f.SymbolState == symbol.Present {
					use.User = use.Users[i] // the one that has what the flaw is about
				}
			}
		}
		if len(list) > 0 {
			worst := slices.MaxFunc(list, func(a, b *match.Finding) int { return cmp.Compare(severity(a), severity(b)) })
			out = append(out, cause{rule, severity(worst), func() notice { return s.vulnerable(rule, p, use, list) }})
		}
	}
	for _, ref := range sortedKeys(s.old) {
		if p, ok := s.former[ref]; ok {
			vulnerable(RuleInUse, p.Package, s.old[ref], func(*match.Finding) bool { return true })
		}
	}
	for _, p := range s.holding.Packages {
		ref := p.Ref()
		if use, ok := s.uses[ref]; ok {
			vulnerable(RuleInUse, p, use, func(f *match.Finding) bool {
				harmless, wait := s.harmless(f, use)
				return !harmless && !wait
			})
		} else {
			vulnerable(RuleExploited, p, use, func(f *match.Finding) bool { return f.Exploited != nil })
		}
		if s.holding.Added[ref] && fresh(RuleInstalled, ref, "") && event.SeverityMedium >= least {
			out = append(out, cause{RuleInstalled, event.SeverityMedium, func() notice { return s.installed(p) }})
		}
	}
	for _, path := range sortedKeys(s.unowned) {
		if fresh(RuleUnowned, path, "") {
			out = append(out, cause{RuleUnowned, event.SeverityHigh, func() notice { return s.stray(s.unowned[path]) }})
		}
	}
	for _, c := range s.holding.Changes {
		if fresh(RuleDatabase, c.Path, c.Package) {
			out = append(out, cause{RuleDatabase, event.SeverityHigh, func() notice { return s.edited(c) }})
		}
	}
	return out
}

// counts says whether a finding is one: it is neither suppressed nor a mere notice.
func counts(f *match.Finding) bool { return f.Suppressed == nil && f.Notice == "" }

// severity is the finding's own, critical when it is exploited or malicious; one that nobody rated counts as
// medium.
func severity(f *match.Finding) event.Severity {
	if f.Exploited != nil || f.Malicious {
		return event.SeverityCritical
	}
	switch f.Severity.Level {
	case advisory.Critical:
		return event.SeverityCritical
	case advisory.High:
		return event.SeverityHigh
	case advisory.Low:
		return event.SeverityLow
	}
	return event.SeverityMedium
}

// begin makes an alert about the target: its evidence is what the host itself saw, of
// things that a container says of itself, so that an answer may hit that container alone.
func (s *state) begin(rule, subject string, things ...string) *event.AlertEvent {
	a := &event.AlertEvent{
		RuleID: rule, Group: s.target.ID + " " + subject, Count: 1,
		Evidence: event.EvidenceConfirmed, Provenance: event.ProvenanceHost,
		Tags: []string{"inventory"},
	}
	slices.Sort(things)
	sum := sha256.Sum256([]byte(strings.Join(things, "\x00")))
	a.ID = event.AlertID(rule, a.Group, event.ID{Stream: binary.BigEndian.Uint64(sum[:8])})
	if id := s.target.Container(); id != "" {
		a.Provenance, a.Peer = event.ProvenanceContainer, ContainerPrefix+id
		a.SetEntity("container_id", id)
		a.SetEntity("container_name", s.target.Name)
		a.SetEntity("image", s.target.Image)
	} else {
		a.SetEntity("host", s.target.Name)
	}
	return a
}

// place is where it is, for titles.
func (s *state) place() string {
	if s.target.Container() != "" {
		return "container " + s.target.Name
	}
	return "host " + s.target.Name
}

func (s *state) vulnerable(rule string, p *inventory.Package, use Use, list []*match.Finding) notice {
	slices.SortFunc(list, func(a, b *match.Finding) int {
		return cmp.Or(cmp.Compare(severity(b), severity(a)), cmp.Compare(b.Severity.Score, a.Severity.Score), cmp.Compare(a.ID, b.ID))
	})
	ref := p.Ref()
	var ids []string
	for _, f := range list {
		ids = append(ids, f.ID)
	}
	a := s.begin(rule, ref, slices.Clone(ids)...)
	worst := list[0]
	a.Severity = severity(worst)
	what := fmt.Sprintf("%s %s", p.Name, p.Version)
	if rule == RuleInUse {
		a.Title = fmt.Sprintf("Vulnerable package %s is in use in %s", what, s.place())
		a.Description = fmt.Sprintf("%s, of package %s, was observed in process %d (%s). Known of it: %s.", use.Path, what, use.PID, use.Process, named(ids))
	} else {
		a.Title = fmt.Sprintf("Package %s with an exploited vulnerability is in %s", what, s.place())
		a.Description = fmt.Sprintf("%s is known to be exploited (CISA KEV). The package was not observed in use. Known of it: %s.", worst.ID, named(ids))
	}
	s.about(a, p)
	a.SetEntity("vulnerability", worst.ID)
	if fixed := fixedBy(list); fixed != "" {
		a.SetEntity("fixed_version", fixed)
		a.Description += " Fixed in " + fixed + "."
	} else {
		a.Description += " No version without it is known."
	}
	if rule == RuleInUse {
		if _, gone := s.former[ref]; gone {
			a.Description += " This version is not installed any more, and is loaded still."
		}
		s.seen(a, use)
	}
	a.Count = uint64(len(list))
	for i, f := range list {
		a.Tags = append(a.Tags, tag(f.ID))
		if f.Exploited != nil && !slices.Contains(a.Tags, "kev") {
			a.Tags = append(a.Tags, "kev")
		}
		if i+1 == maxNamed {
			break
		}
	}
	detail := func(key, value string) {
		if value != "" {
			a.Details = append(a.Details, event.Field{Key: key, Value: value})
		}
	}
	detail("vulnerabilities", strings.Join(ids[:min(len(ids), maxNamed)], " "))
	detail("vulnerability_count", strconv.Itoa(len(ids)))
	detail("ecosystem", p.Ecosystem)
	if worst.Severity.Score > 0 {
		detail("cvss_score", strconv.FormatFloat(worst.Severity.Score, 'f', 1, 64))
		detail("cvss_vector", worst.Severity.Vector)
	}
	if worst.Exploited != nil {
		detail("kev_added", worst.Exploited.Added.Format(time.DateOnly))
	}
	if l := worst.Likelihood; l != nil {
		detail("epss", strconv.FormatFloat(l.Score, 'g', 4, 64))
	}
	detail("symbol_state", string(worst.SymbolState))
	detail("symbols", strings.Join(worst.Symbols[:min(len(worst.Symbols), maxNamed)], " "))
	if worst.SymbolState == symbol.NotObserved {
		a.Description += " The functions that it is about were not observed in the program."
	}
	return notice{a, ref, ids}
}

// tag is a finding's tag, in the form that rules use: "cve.2021-44228".
func tag(id string) string {
	low := strings.ToLower(id)
	if rest, ok := strings.CutPrefix(low, "cve-"); ok {
		return "cve." + rest
	}
	return low
}

// named lists ids for people.
func named(ids []string) string {
	const most = 5
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

// fixedBy is the version without the worst of the findings that has one.
func fixedBy(list []*match.Finding) string {
	for _, f := range list {
		if len(f.Fixed) > 0 {
			return f.Fixed[0]
		}
	}
	return ""
}

// about adds the entities of a package.
func (s *state) about(a *event.AlertEvent, p *inventory.Package) {
	a.SetEntity("package", p.Name)
	a.SetEntity("version", p.Version)
	if p.PURL != "" {
		a.SetEntity("purl", p.PURL)
	}
}

// seen adds the process that was observed.
func (s *state) seen(a *event.AlertEvent, use Use) {
	a.SetEntity("process", use.Process)
	a.SetEntity("process_id", strconv.Itoa(use.PID))
	a.SetEntity("path", use.Path)
	if use.Replaced {
		a.Details = append(a.Details, event.Field{Key: "replaced", Value: "true"})
		a.Description += " The file was replaced or removed since; start the process again to be rid of it."
	}
}

func (s *state) installed(p *inventory.Package) notice {
	ref := p.Ref()
	a := s.begin(RuleInstalled, ref)
	a.Severity = event.SeverityMedium
	a.Title = fmt.Sprintf("Package %s %s was installed in %s at run time", p.Name, p.Version, s.place())
	a.Description = fmt.Sprintf("The image %s does not have it: it came after the start, and is gone with the container.", s.target.Image)
	s.about(a, p)
	if len(p.Locations) > 0 {
		a.SetEntity("path", p.Locations[0].Path)
	}
	return notice{a, ref, []string{""}}
}

func (s *state) stray(use Use) notice {
	a := s.begin(RuleUnowned, use.Path)
	a.Severity = event.SeverityHigh
	a.Title = fmt.Sprintf("A program that nobody installed runs in %s", s.place())
	a.Description = fmt.Sprintf("Process %d (%s) runs code of %s, which no package has", use.PID, use.Process, use.Path)
	if s.target.Container() != "" {
		a.Description += ", and which the image did not bring"
	}
	a.Description += "."
	s.seen(a, use)
	return notice{a, use.Path, []string{""}}
}

func (s *state) edited(c Change) notice {
	a := s.begin(RuleDatabase, c.Path, c.Package)
	a.Severity = event.SeverityHigh
	a.Title = "A database of packages was changed by hand in " + s.place()
	a.Description = c.Text
	a.SetEntity("path", c.Path)
	if c.Package != "" {
		a.SetEntity("package", c.Package)
	}
	return notice{a, c.Path, []string{c.Package}}
}
