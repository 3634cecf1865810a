package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// parse reads one document.
func parse(tb testing.TB, text string) (*mapping.Mapping, *document.Problem) {
	tb.Helper()
	for root, err := range document.All([]byte(text)) {
		if err != nil {
			tb.Fatal(err)
		}
		if !mapping.Is(root) {
			tb.Fatalf("it is no mapping:\n%s", text)
		}
		return mapping.Parse("m.yaml", root)
	}
	tb.Fatal("there is no document")
	return nil, nil
}

const web = `mapping: Web
sources:
  - when: {event_action: [http_request, http_error], stream: "*/nginx/*"}
    logsource: {category: webserver, product: nginx}
  - when: {process: "*"}
    logsource: [{product: linux}, {service: syslog}]
fields:
  - logsource: {category: webserver}
    names: {c-ip: [src_ip, peer], type: {field: types, within: ","}, other: one}
  - logsource: {category: webserver, product: nginx}
    names: {other: two}
`

func TestNames(t *testing.T) {
	m, problem := parse(t, web)
	if problem != nil {
		t.Fatal(problem)
	}
	n := mapping.NewNamer([]*mapping.Mapping{m})
	nginx, apache := sigma.LogSource{Category: "webserver", Product: "nginx"}, sigma.LogSource{Category: "webserver", Product: "apache"}
	for _, c := range []struct {
		source sigma.LogSource
		field  string
		want   []mapping.Name
	}{
		{nginx, "c-ip", []mapping.Name{{Field: "src_ip"}, {Field: "peer"}}},
		{nginx, "other", []mapping.Name{{Field: "two"}}},
		{apache, "other", []mapping.Name{{Field: "one"}}},
		{apache, "unheard", []mapping.Name{{Field: "unheard"}}},
		{sigma.LogSource{Product: "nginx"}, "c-ip", []mapping.Name{{Field: "c-ip"}}},
		{apache, "type", []mapping.Name{{Field: "types", Within: ","}}},
	} {
		if diff := cmp.Diff(c.want, n.Names(c.source, c.field)); diff != "" {
			t.Errorf("%v %s (-want +got):\n%s", c.source, c.field, diff)
		}
	}
}

// A test on a field with several names asks for all of them; one for null wants all
// of them to be so.
func TestRename(t *testing.T) {
	m, _ := parse(t, web)
	n := mapping.NewNamer([]*mapping.Mapping{m})
	got := sigma.Parse("r.yaml", []byte("title: t\nlogsource: {category: webserver}\ndetection:\n  s: {c-ip: x, type|startswith: A}\n  u: {c-ip: null}\n  condition: s and not u\n"), sigma.Options{})
	var show func(*sigma.Expr) string
	show = func(x *sigma.Expr) string {
		if x.Test != nil {
			return x.Test.Field + "=" + x.Test.Text.String()
		}
		var subs []string
		for _, s := range x.Subs {
			subs = append(subs, show(s))
		}
		return [...]string{sigma.And: "and", sigma.Or: "or", sigma.Not: "not"}[x.Op] + "(" + strings.Join(subs, " ") + ")"
	}
	before := show(got.Rules[0].When)
	const want = "and(and(and(or(src_ip=x peer=x)) and(types=*,A*,*)) not(and(and(and(src_ip= peer=)))))"
	if s := show(n.Rename(got.Rules[0].LogSource, got.Rules[0].When)); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	if show(got.Rules[0].When) != before {
		t.Error("the rule itself was changed")
	}
}

func TestTable(t *testing.T) {
	m, _ := parse(t, web)
	table := mapping.NewTable([]*mapping.Mapping{m})
	nginx := table.For(&event.Stream{Name: "/var/log/nginx/access.log"})
	other := table.For(nil)
	get := func(fields map[string]string) func(string) string {
		return func(key string) string { return fields[key] }
	}
	for _, c := range []struct {
		name   string
		view   *mapping.View
		fields map[string]string
		want   []sigma.LogSource
	}{
		{"both", nginx, map[string]string{"event_action": "HTTP_request", "process": "x"}, []sigma.LogSource{{Category: "webserver", Product: "nginx"}, {Product: "linux"}, {Service: "syslog"}}},
		{"another stream", other, map[string]string{"event_action": "http_request"}, nil},
		{"another value", nginx, map[string]string{"event_action": "login"}, nil},
		{"any value", other, map[string]string{"process": "y"}, []sigma.LogSource{{Product: "linux"}, {Service: "syslog"}}},
	} {
		if diff := cmp.Diff(c.want, c.view.LogSources(get(c.fields))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if len(nginx.Keys()) != 2 || len(other.Keys()) != 1 {
		t.Errorf("got the keys %v and %v", nginx.Keys(), other.Keys())
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		code string
		in   string
	}{
		{"mapping: m\nsource: []\n", 2, sigma.CodeUnknownKey, `"sources"`},
		{"mapping: m\nsources:\n  - {when: {a: b}}\n", 3, sigma.CodeMissingKey, "both when and logsource"},
		{"mapping: m\nsources:\n  - {when: {a: b}, logsource: {produkt: x}}\n", 3, sigma.CodeUnknownKey, "produkt"},
		{"mapping: m\nsources:\n  - {when: {a: b}, logsource: {}}\n", 3, sigma.CodeMissingKey, "category"},
		{"mapping: m\nsources: x\n", 2, sigma.CodeWrongType, "x"},
		{"mapping: m\nfields:\n  - logsource: {product: x}\n    names:\n      a: {feild: b}\n", 5, sigma.CodeUnknownKey, `"field"`},
		{"mapping: m\nfields:\n  - logsource: {product: x}\n    names:\n      a: {within: b}\n", 5, sigma.CodeMissingKey, "field"},
		{"mapping:\n", 1, sigma.CodeWrongType, "mapping"},
	} {
		_, p := parse(t, c.text)
		if p == nil || p.Line != c.line || p.Code != c.code || !strings.Contains(p.Reason, c.in) {
			t.Errorf("got %v, want line %d, %s with %q, for\n%s", p, c.line, c.code, c.in, c.text)
		}
	}
}

// What is shipped says something of the products that it is for.
func TestShipped(t *testing.T) {
	view := mapping.NewTable(mapping.Shipped()).For(nil)
	for field, want := range map[[2]string]sigma.LogSource{
		{"process", "sshd"}:              {Product: "linux", Service: "sshd"},
		{"process", "CRON"}:              {Product: "linux", Service: "cron"},
		{"event_action", "http_request"}: {Category: "webserver"},
		{"Channel", "Security"}:          {Product: "windows", Service: "security"},
		{"event_action", "audit_execve"}: {Category: "process_creation", Product: "linux", Service: "auditd"},
	} {
		got := view.LogSources(func(key string) string {
			if key == field[0] {
				return field[1]
			}
			return ""
		})
		found := false
		for _, s := range got {
			found = found || s == want
		}
		if !found {
			t.Errorf("%v: got %v, want %v among them", field, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(web))
	f.Add([]byte("mapping: {a: b}\nsources: [[[]]]\nfields: {names: {x: {within: [}}}\n"))
	f.Add([]byte("mapping: x\nfields: [{logsource: {product: p}, names: {a: [b, {field: c, within: d}]}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for root, err := range document.All(data) {
			if err != nil || !mapping.Is(root) {
				return
			}
			m, problem := mapping.Parse("f", root)
			if (m == nil) == (problem == nil) {
				t.Errorf("got %v and %v", m, problem)
			}
			if m != nil {
				mapping.NewTable([]*mapping.Mapping{m}).For(nil).LogSources(func(string) string { return "a" })
			}
		}
	})
}
