package dockerproxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ErrGrant wraps what is wrong with a grant.
var ErrGrant = errors.New("invalid Docker grant")

// Bounds of what is granted and asked.
const (
	maxGrants   = 64
	maxPath     = 1 << 10 // bytes
	maxElements = 32      // of a path
	maxQuery    = 8 << 10 // bytes
)

// always is the scope of what every plugin with a grant may ask.
const always = ""

// endpoint is one call of the Docker Engine API that can be granted at all.
type endpoint struct {
	scope  string
	method string
	path   []string
	body   bodyRule
	// query checks the parameters; nil admits all.
	query queryRule
	// answer shortens what Docker answers; nil passes it on as it comes.
	answer answerRule
}

// endpoints is the table of them, from the reference of API 1.41 to 1.51.
func endpoints() []endpoint {
	var table []endpoint
	add := func(scope, method string, body bodyRule, paths ...string) {
		for _, p := range paths {
			table = append(table, endpoint{scope: scope, method: method, path: elements(p), body: body})
		}
	}
	add(always, http.MethodGet, noBody, "/_ping", "/version")
	add(always, http.MethodHead, noBody, "/_ping")
	add("read", http.MethodGet, noBody,
		"/info", "/events",
		"/containers/json", "/containers/*/json", "/containers/*/top", "/containers/*/stats", "/containers/*/changes",
		"/networks", "/networks/*", "/volumes", "/volumes/*",
		"/images/json", "/images/**/json", "/images/**/history")
	for i := range table {
		if table[i].path[len(table[i].path)-1] == "top" {
			table[i].query = topQuery
		}
	}
	// Behind "read", so that who was granted the whole answer gets it.
	add("settings", http.MethodGet, noBody, "/containers/*/json")
	table[len(table)-1].answer = settingsOnly
	add("logs", http.MethodGet, noBody, "/containers/*/logs")
	add("files", http.MethodGet, noBody, "/containers/*/export", "/containers/*/archive", "/images/get", "/images/**/get")
	add("files", http.MethodHead, noBody, "/containers/*/archive")
	add("isolate", http.MethodPost, noBody, "/containers/*/pause", "/containers/*/unpause")
	add("isolate", http.MethodPost, connectBody, "/networks/*/connect")
	add("isolate", http.MethodPost, disconnectBody, "/networks/*/disconnect")
	add("isolate", http.MethodPost, quarantineBody, "/networks/create")
	add("stop", http.MethodPost, noBody, "/containers/*/stop", "/containers/*/start", "/containers/*/restart", "/containers/*/kill")
	for i := range table {
		if table[i].path[len(table[i].path)-1] == "start" {
			table[i].query = startQuery
		}
	}
	return table
}

// Scopes are the names that a grant may give instead of a method and a path.
func Scopes() []string {
	var out []string
	for _, e := range endpoints() {
		if e.scope != always && !slices.Contains(out, e.scope) {
			out = append(out, e.scope)
		}
	}
	return out
}

// Grants are what one plugin may ask of Docker. The zero value admits nothing.
type Grants struct {
	scopes []string
	rules  []endpoint
	table  []endpoint
}

// ParseGrants reads grants. Errors wrap [ErrGrant] and name the grant.
func ParseGrants(grants []string) (Grants, error) {
	g := Grants{table: endpoints()}
	if len(grants) > maxGrants {
		return Grants{}, fmt.Errorf("%w: %d of them, at most %d are read", ErrGrant, len(grants), maxGrants)
	}
	scopes := Scopes()
	for _, grant := range grants {
		if slices.Contains(scopes, grant) {
			g.scopes = append(g.scopes, grant)
			continue
		}
		rule, err := parseRule(grant, scopes)
		if err != nil {
			return Grants{}, err
		}
		if !slices.ContainsFunc(g.table, func(e endpoint) bool { return e.method == rule.method && overlap(e.path, rule.path) }) {
			return Grants{}, fmt.Errorf("%w %q: this call is never admitted, or Docker does not have it", ErrGrant, grant)
		}
		g.rules = append(g.rules, rule)
	}
	return g, nil
}

func parseRule(grant string, scopes []string) (endpoint, error) {
	method, path, ok := strings.Cut(grant, " ")
	if !ok || !strings.HasPrefix(path, "/") {
		return endpoint{}, fmt.Errorf("%w %q: want one of %s, or METHOD /path", ErrGrant, grant, strings.Join(scopes, ", "))
	}
	if !sound(strings.ReplaceAll(path, "*", "x")) || strings.Count(path, "**") > 1 {
		return endpoint{}, fmt.Errorf("%w %q: want a plain path of at most %d elements, with at most one **", ErrGrant, grant, maxElements)
	}
	return endpoint{method: method, path: elements(path)}, nil
}

// admits returns the endpoint that a request is for, when it was granted.
func (g Grants) admits(method, path string) (endpoint, bool) {
	asked := elements(path)
	for _, e := range g.table {
		if e.method != method || !overlap(e.path, asked) {
			continue
		}
		if e.scope == always || slices.Contains(g.scopes, e.scope) ||
			slices.ContainsFunc(g.rules, func(r endpoint) bool { return r.method == method && overlap(r.path, asked) }) {
			return e, true
		}
	}
	return endpoint{}, false
}

func elements(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// overlap reports whether some path satisfies both patterns; a path without
// wildcards is a pattern too. At most one ** stands in each.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	switch {
	case a[0] == "**":
		return overlap(a[1:], b[1:]) || overlap(a, b[1:])
	case b[0] == "**":
		return overlap(a[1:], b[1:]) || overlap(a[1:], b)
	case a[0] == "*", b[0] == "*", a[0] == b[0]:
		return overlap(a[1:], b[1:])
	}
	return false
}

// sound reports whether a path, already decoded, can be read in one way only.
func sound(path string) bool {
	if len(path) > maxPath || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "*%\\") {
		return false
	}
	for _, r := range path {
		if r <= ' ' || r >= 0x7f {
			return false
		}
	}
	parts := elements(path)
	return len(parts) <= maxElements && !slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." })
}
