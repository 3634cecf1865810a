package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/sink-webhook/deliver"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a web server that takes messages and knows each by its id.
type receiver struct {
	t *testing.T

	mu     sync.Mutex
	ids    map[string]bool
	bodies []string // of each id, in the order in which they came
	count  int      // of requests
	answer func(n int, w http.ResponseWriter) bool
}

// ServeHTTP verifies and takes a message.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender broke it off
	}
	secrets, err := deliver.ParseSecrets(testSecret)
	if err != nil {
		r.t.Error(err)
		return
	}
	id := req.Header.Get(deliver.HeaderID)
	if err := deliver.Verify(secrets[0], id, req.Header.Get(deliver.HeaderTimestamp), req.Header.Get(deliver.HeaderSignature), body, time.Now(), time.Minute); err != nil {
		r.t.Errorf("message %s: %v", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.answer != nil && r.answer(r.count, w) {
		return
	}
	if r.ids == nil {
		r.ids = make(map[string]bool)
	}
	if !r.ids[id] {
		r.ids[id] = true
		r.bodies = append(r.bodies, string(body))
	}
}

// once returns the bodies of the messages, each once.
func (r *receiver) once() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.bodies...)
}

func (r *receiver) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// begin returns a sink that sends to the receiver, and its counters.
func begin(t *testing.T, r *receiver, change ...func(*config)) (*sink, map[string]uint64) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	cfg := defaults()
	cfg.URL, cfg.Secret, cfg.Name, cfg.RetryMin, cfg.RetryMax = server.URL+"/hook", testSecret, "web1", 10*time.Millisecond, 10*time.Millisecond
	for _, f := range change {
		f(&cfg)
	}
	counts := make(map[string]uint64)
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{HostID: "h1", Counter: func(name string, n uint64) { counts[name] += n }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Load().Close)
	return s, counts
}

var journal = &event.Stream{ID: 1, Name: "journal", Plugin: "host"}

func alert(n uint64, severity event.Severity) *event.AlertEvent {
	now := time.Now()
	return &event.AlertEvent{
		ID: "a" + string(rune('0'+n)), Sequence: n, Time: now, ObservedTime: now, RuleID: "r", Title: "T", Severity: severity,
		Entities: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}},
	}
}

func write(t *testing.T, s *sink, batches ...sdk.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// ids are the kind and the id of the event in each message.
func ids(t *testing.T, bodies []string) []string {
	t.Helper()
	var out []string
	for _, body := range bodies {
		var m struct {
			Type, ID, Host string
			HostID         string `json:"host_id"`
			Data           struct{ Kind, ID, Outcome string }
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		if m.ID == "" || m.Host != "web1" || m.HostID != "h1" || m.Type != m.Data.Kind {
			t.Errorf("got the envelope %+v", m)
		}
		out = append(out, strings.TrimSpace(m.Type+" "+m.Data.ID+" "+m.Data.Outcome))
	}
	return out
}

func TestSendsEachOnceInOrder(t *testing.T) {
	r := &receiver{t: t}
	s, counts := begin(t, r)
	now := time.Now()
	planned := &event.ActionEvent{ID: "x", Sequence: 3, Time: now, Action: "block", Outcome: event.OutcomePlanned}
	applied := &event.ActionEvent{ID: "x", Sequence: 4, Time: now.Add(time.Millisecond), Action: "block", Outcome: event.OutcomeApplied}
	for range 2 { // the same batches again
		write(t, s, sdk.AlertBatch(journal, alert(1, event.SeverityHigh), alert(2, event.SeverityLow)), sdk.ActionBatch(journal, planned, applied))
	}
	want := []string{"alert a1", "alert a2", "action x planned", "action x applied"}
	if diff := cmp.Diff(want, ids(t, r.once())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{"delivered": 4, "duplicates": 4}, counts); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if n := r.requests(); n != 4 {
		t.Errorf("got %d requests, want 4", n)
	}
}

func TestSendsWhatItIsToldTo(t *testing.T) {
	silenced := alert(4, event.SeverityCritical)
	silenced.SilencedBy = "5a"
	batches := []sdk.Batch{
		sdk.AlertBatch(journal, alert(1, event.SeverityUnknown), alert(2, event.SeverityLow), alert(3, event.SeverityHigh), silenced),
		sdk.ActionBatch(journal,
			&event.ActionEvent{ID: "b", Sequence: 4, Time: time.Now(), Action: "block", Outcome: event.OutcomeApplied},
			&event.ActionEvent{ID: "n", Sequence: 5, Time: time.Now(), Action: "notify", Outcome: event.OutcomeApplied}),
	}
	for name, tt := range map[string]struct {
		change func(*config)
		want   []string
	}{
		"everything":    {func(*config) {}, []string{"alert a1", "alert a2", "alert a3", "action b applied", "action n applied"}},
		"alerts":        {func(c *config) { c.Events = []string{"alerts"} }, []string{"alert a1", "alert a2", "alert a3"}},
		"actions":       {func(c *config) { c.Events = []string{"actions"} }, []string{"action b applied", "action n applied"}},
		"some actions":  {func(c *config) { c.Events = []string{"actions"}; c.Actions = []string{"notify"} }, []string{"action n applied"}},
		"severe alerts": {func(c *config) { c.Events = []string{"alerts"}; c.MinSeverity = "medium" }, []string{"alert a3"}},
		"silenced too":  {func(c *config) { c.Events, c.Silenced = []string{"alerts"}, true }, []string{"alert a1", "alert a2", "alert a3", "alert a4"}},
		"nothing":       {func(c *config) { c.Events = nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := &receiver{t: t}
			s, _ := begin(t, r, tt.change)
			write(t, s, batches...)
			if diff := cmp.Diff(tt.want, ids(t, r.once())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is given up is counted, and stops nothing.
func TestWhatIsShedIsCounted(t *testing.T) {
	r := &receiver{t: t, answer: func(n int, w http.ResponseWriter) bool {
		if n == 1 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return n == 1
	}}
	s, counts := begin(t, r, func(c *config) { c.MaxAge = time.Hour })
	old := alert(2, event.SeverityHigh)
	old.ObservedTime = time.Now().Add(-2 * time.Hour)
	large := &event.ActionEvent{ID: "x", Sequence: 5, Time: time.Now(), Reason: strings.Repeat("x", maxBody)}
	write(t, s, sdk.AlertBatch(journal, alert(1, event.SeverityHigh), old, alert(3, event.SeverityHigh)), sdk.ActionBatch(journal, large))
	if diff := cmp.Diff([]string{"alert a3"}, ids(t, r.once())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{"attempts_failed": 1, "refused": 1, "expired": 1, "delivered": 1, "too_large": 1}, counts); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

func TestALargeAlertGoesWithoutItsEvents(t *testing.T) {
	r := &receiver{t: t}
	s, _ := begin(t, r)
	a := alert(1, event.SeverityHigh)
	for range event.MaxCited {
		a.CiteLog(&event.LogEvent{Stream: journal, Message: strings.Repeat("\x01", event.MaxCitedBytes/event.MaxCited-100)})
	}
	write(t, s, sdk.AlertBatch(journal, a))
	if got := r.once(); len(got) != 1 || len(got[0]) > 4096 || strings.Contains(got[0], `"events"`) {
		t.Errorf("got %d messages, want one without events", len(got))
	}
}

func TestSlackThroughTheSink(t *testing.T) {
	r := &receiver{t: t}
	s, _ := begin(t, r, func(c *config) { c.Format = "slack" })
	write(t, s, sdk.AlertBatch(journal, alert(1, event.SeverityHigh)))
	if got := r.once(); len(got) != 1 || !strings.HasPrefix(got[0], `{"text":"high: T on web1",`) {
		t.Errorf("got %q", got)
	}
}

func TestAuthoritiesComeFromTheirFile(t *testing.T) {
	r := &receiver{t: t}
	server := httptest.NewTLSServer(r)
	t.Cleanup(server.Close)
	s, _ := begin(t, r, func(c *config) { c.URL, c.CAFile = server.URL, "/etc/ca.pem" })
	if err := s.health(t.Context()); err == nil || !strings.Contains(err.Error(), "/etc/ca.pem is not read yet") {
		t.Errorf("health before the file: got %v", err)
	}
	bad := fstest.MapFS{"ca.pem": {Data: []byte("no certificate")}}
	if _, err := s.LoadBundle(t.Context(), authorities, bad, true); err == nil {
		t.Error("a file without a certificate passes the check")
	}
	for _, files := range []fstest.MapFS{bad, {}} {
		if _, err := s.LoadBundle(t.Context(), authorities, files, false); err != nil {
			t.Errorf("got %v; want it in the health alone", err)
		}
		if err := s.health(t.Context()); err == nil || !strings.Contains(err.Error(), "ca_file") {
			t.Errorf("health: got %v, want ca_file named", err)
		}
	}
	good := fstest.MapFS{"ca.pem": {Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}}
	if report, err := s.LoadBundle(t.Context(), authorities, good, false); err != nil || report.Files != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
	write(t, s, sdk.AlertBatch(journal, alert(1, event.SeverityHigh)))
	if n := len(r.once()); n != 1 {
		t.Errorf("got %d messages, want 1", n)
	}
}

func TestIdleWithoutAURL(t *testing.T) {
	cfg := defaults()
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	write(t, s, sdk.AlertBatch(journal, alert(1, event.SeverityHigh)))
	if err := s.health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestURLAndToken(t *testing.T) {
	for name, tt := range map[string]struct {
		url, token, want, bearer string
	}{
		"as it is":     {"https://h.example/x", "", "https://h.example/x", ""},
		"bearer":       {"https://h.example/x", "t0ken", "https://h.example/x", "t0ken"},
		"in the path":  {"https://hooks.slack.com/services/{token}", "T0/B0/xyz", "https://hooks.slack.com/services/T0/B0/xyz", ""},
		"in the query": {"http://[::1]:8080/x?key={token}", "t0ken", "http://[::1]:8080/x?key=t0ken", ""},
	} {
		cfg := defaults()
		cfg.URL, cfg.Token = tt.url, tt.token
		got, err := cfg.client()
		if err != nil || got.URL.String() != tt.want || got.Bearer != tt.bearer {
			t.Errorf("%s: got %v, %q, %v", name, got.URL, got.Bearer, err)
		}
	}
}

func TestBadConfigurationIsNamedWithoutSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*config)
		want   string
	}{
		"no scheme":      {func(c *config) { c.URL = "hooks.example" }, `url: scheme "", host ""; write https://HOST/PATH`},
		"another scheme": {func(c *config) { c.URL = "ftp://h/x" }, `url: scheme "ftp", host "h"; write https://HOST/PATH`},
		"a password":     {func(c *config) { c.URL = "https://u:s3cret@h/x" }, "url: a name and password in it would be shown; use token"},
		"no token":       {func(c *config) { c.URL = "https://h/{token}" }, "url: it has {token}, and token is not set"},
		"the host":       {func(c *config) { c.URL, c.Token = "https://h.{token}/", "s3cret" }, "url: it cannot be read; write https://HOST/PATH"},
		"a fragment":     {func(c *config) { c.URL = "https://h/#s3cret" }, "url: a fragment (#) is never sent; leave it out"},
		"rubbish":        {func(c *config) { c.URL = "https://h/%zz" }, "url: it cannot be read; write https://HOST/PATH"},
		"a bad token":    {func(c *config) { c.Token = "s3cret\n" }, "token: it holds a character that no header can carry"},
		"a short secret": {func(c *config) { c.Secret = "s3cret" }, "secret: secret 1 has 6 bytes; write 16 or more"},
		"a status":       {func(c *config) { c.Permanent = []string{"200"} }, `permanent: "200": write statuses from 300 to 599`},
		"a relative CA":  {func(c *config) { c.CAFile = "ca.pem" }, `ca_file: "ca.pem" is relative; write the absolute path`},
		"events":         {func(c *config) { c.Events = []string{"logs"} }, `events: "logs": want alerts or actions`},
		"a severity":     {func(c *config) { c.MinSeverity = "bad" }, `min_severity: "bad": want informational, low, medium, high or critical`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaults()
			cfg.URL = "https://h.example/x"
			tt.change(&cfg)
			s := &sink{cfg: &cfg}
			if err := s.setup(t.Context(), sdk.Env{}); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// The host name is what messages carry when no name is set.
func TestNameOfTheHost(t *testing.T) {
	r := &receiver{t: t}
	s, _ := begin(t, r, func(c *config) { c.Name = "" })
	want, err := os.Hostname()
	if err != nil {
		t.Skip("this machine has no host name")
	}
	if s.encode.host != want {
		t.Errorf("got %q, want %q", s.encode.host, want)
	}
}
