package deliver

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// attempt is one request that came.
type attempt struct {
	id, body string
	at       time.Time
	taken    bool // it was answered with 2xx
	verified error
	header   http.Header
}

// receiver is a web server that answers as it is told.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	attempts []attempt
	answers  []http.HandlerFunc // to the first attempts; later ones are taken
}

func receive(t *testing.T, answers ...http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{t: t, answers: answers}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP notes the request and answers.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender broke it off
	}
	secrets, err := ParseSecrets(testSecret)
	if err != nil {
		r.t.Error(err)
		return
	}
	h := req.Header
	a := attempt{id: h.Get(HeaderID), body: string(body), at: time.Now(), header: h}
	a.verified = Verify(secrets[0], a.id, h.Get(HeaderTimestamp), h.Get(HeaderSignature), body, time.Now(), time.Minute)
	var answer http.HandlerFunc
	r.mu.Lock()
	if n := len(r.attempts); n < len(r.answers) {
		answer = r.answers[n]
	}
	a.taken = answer == nil
	r.attempts = append(r.attempts, a)
	r.mu.Unlock()
	if answer != nil {
		answer(w, req)
	}
}

// taken returns the bodies of the messages that were answered with success.
func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, a := range r.attempts {
		if a.taken {
			out = append(out, a.body)
		}
	}
	return out
}

func (r *receiver) all() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]attempt(nil), r.attempts...)
}

// status answers with a status and headers.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "because\x1b[2J") // the client may be gone
	}
}

// reset breaks the connection off with RST.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// hang answers nothing until the client is gone.
func hang(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }

// client returns a client that is quick to try again.
func (r *receiver) client(change ...func(*Config)) *Client {
	r.t.Helper()
	u, err := url.Parse(r.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	secrets, err := ParseSecrets(testSecret)
	if err != nil {
		r.t.Fatal(err)
	}
	c := Config{
		URL: u.JoinPath("hook"), Secrets: secrets, Timeout: 30 * time.Second, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond,
		Permanent: []int{400},
	}
	for _, f := range change {
		f(&c)
	}
	client := New(c)
	r.t.Cleanup(client.Close)
	return client
}
