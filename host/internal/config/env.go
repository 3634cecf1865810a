package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

// resolver finds the key that a variable's name means.
type resolver struct {
	host     map[string]*field // the host's keys by variable
	sections []*section        // longest name first
}

func newResolver(sc *schema) *resolver {
	r := &resolver{host: make(map[string]*field), sections: slices.Clone(sc.sections)}
	for _, s := range sc.sections {
		if s.Owner != HostOwner {
			continue
		}
		for _, f := range s.fields {
			r.host[f.env()] = f
		}
	}
	slices.SortStableFunc(r.sections, func(a, b *section) int {
		return cmp.Or(cmp.Compare(len(b.Name), len(a.Name)), cmp.Compare(a.Name, b.Name))
	})
	return r
}

// resolve returns the section that name belongs to, and the key if it has one.
// The host's own keys come first, so that no plugin can take IRONPOST_BUS_CREDITS
// away by declaring a section "bus_credits"; then the longest section wins.
func (r *resolver) resolve(name string) (*section, *field) {
	if f := r.host[name]; f != nil {
		return f.section, f
	}
	for _, s := range r.sections {
		if !strings.HasPrefix(name, s.envPrefix()) {
			continue
		}
		for _, f := range s.fields {
			if f.env() == name {
				return s, f
			}
		}
		return s, nil
	}
	return nil, nil
}

// suggestion names the variable that name was most likely meant to be.
func (r *resolver) suggestion(name string, s *section) string {
	sections := r.sections
	if s != nil {
		sections = []*section{s}
	}
	var names []string
	for _, s := range sections {
		for _, f := range s.fields {
			names = append(names, f.env())
		}
	}
	return didYouMean(nearest(name, names))
}

// stray is a variable that nothing reads.
type stray struct {
	name    string
	section *section // when its section is known and its key is not
}

// readEnv loads the environment as a layer and returns the variables that mean
// nothing, which the caller reports once it knows that no secret refers to them.
func (l *loader) readEnv(environ []string) ([]stray, error) {
	r := newResolver(l.schema)
	var strays []stray
	provider := env.Provider(delim, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, text string) (string, any) {
			s, f := r.resolve(name)
			if f == nil {
				if s == nil || !s.Unread {
					strays = append(strays, stray{name, s})
				}
				return "", nil
			}
			o := Origin{Kind: FromEnv, Name: name}
			v, bad := f.fromText(text)
			if bad != nil {
				l.problems.add(f.problem(o, bad))
				return "", nil
			}
			l.origins[f.path] = o
			return f.path, v
		},
	})
	if err := l.k.Load(provider, nil); err != nil {
		return nil, err
	}
	return strays, nil
}

// reportStrays warns of the variables that nothing reads.
func (l *loader) reportStrays(strays []stray, reserved []string) {
	referenced := l.referencedEnv()
	r := newResolver(l.schema)
	for _, st := range strays {
		if slices.Contains(reserved, st.name) || referenced[st.name] {
			continue
		}
		p := Problem{
			Origin: Origin{Kind: FromEnv, Name: printable(st.name)}, Warning: true,
			Message: "nothing is configured by this variable",
		}
		if !l.problems.full() {
			p.Hint = r.suggestion(st.name, st.section)
		}
		if st.section != nil {
			p.Owner = st.section.Owner
			p.Key = st.section.Name
		}
		l.problems.add(p)
	}
}

// referencedEnv are the variables that secrets refer to.
func (l *loader) referencedEnv() map[string]bool {
	out := make(map[string]bool)
	for _, s := range l.schema.sections {
		for _, f := range s.fields {
			if secret, ok := l.k.Get(f.path).(Secret); ok {
				if name, ok := secret.envName(); ok {
					out[name] = true
				}
			}
		}
	}
	return out
}

// lookupIn returns the lookup of a list of NAME=value; the last one wins, as in
// package os.
func lookupIn(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, kv := range slices.Backward(environ) {
			if n, v, ok := strings.Cut(kv, "="); ok && n == name {
				return v, true
			}
		}
		return "", false
	}
}
