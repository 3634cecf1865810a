package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// hookReceiver is an HTTPS server that takes webhooks, when it is told to, and
// knows each by its id.
type hookReceiver struct {
	*httptest.Server
	t      *testing.T
	secret []byte

	mu       sync.Mutex
	trouble  http.HandlerFunc // answers in its stead
	taking   func(n int)      // is told of the n-th message before it is answered
	attempts int
	ids      map[string]bool
	alerts   []string // rule and group of each message, once, as they came
	again    int      // messages that came once more
}

// ServeHTTP verifies a message as docs/operations.md says, and takes it.
func (r *hookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender broke it off
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	id, stamp := req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, r.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); req.Header.Get("webhook-signature") != want || req.URL.Path != "/hook/t0ken" {
		r.t.Errorf("%s: signature %q, want %q", req.URL.Path, req.Header.Get("webhook-signature"), want)
	}
	if trouble := r.trouble; trouble != nil {
		r.mu.Unlock()
		trouble(w, req)
		r.mu.Lock()
		return
	}
	var m struct {
		Type, ID string
		Data     struct {
			RuleID   string            `json:"rule_id"`
			Entities map[string]string `json:"entities"`
		}
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Type != "alert" || m.ID != id {
		r.t.Errorf("message %s: %v: %s", id, err, body)
	}
	if r.ids[id] {
		r.again++
		return
	}
	r.ids[id] = true
	r.alerts = append(r.alerts, m.Data.Entities["src_ip"])
	if r.taking != nil {
		r.taking(len(r.alerts))
	}
}

// answer has the receiver answer in another way from now on; nil takes messages.
func (r *hookReceiver) answer(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = h
}

func (r *hookReceiver) state() (attempts, again int, alerts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts, r.again, slices.Clone(r.alerts)
}

// TestWebhookTakesEveryAlertOnce has a receiver fail in every way, while the plugin
// and the host are killed: in the end it has every alert once, in order, and nobody
// else has waited for it.
func TestWebhookTakesEveryAlertOnce(t *testing.T) {
	t.Parallel()
	const attackers = 120
	r := &hookReceiver{t: t, secret: []byte("0123456789abcdef0123456789abcdef"), ids: make(map[string]bool)}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	stopped := make(chan struct{}) // lets hanging requests go
	t.Cleanup(func() { close(stopped) })
	dir := writeFiles(t, map[string]string{
		"rules/ssh.yaml": bruteForce,
		"ca.pem":         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})),
		"secret":         string(r.secret) + "\n",
	})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite", "sink-webhook"},
		Config:  "answer_timeout = \"6s\"", // of the section [plugins]
		Env:     []string{"IRONPOST_TEST_TOKEN=t0ken"}, NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf(`[rules]
paths = [%q]
[webhook]
url = "%s/hook/{token}"
token = "env:IRONPOST_TEST_TOKEN"
secret = "file:%s"
ca_file = %q
events = ["alerts"]
timeout = "500ms"
retry_min = "20ms"
retry_max = "50ms"
`, filepath.Join(dir, "rules"), r.URL, filepath.Join(dir, "secret"), filepath.Join(dir, "ca.pem"))+follow(filepath.Join(h.Dir, "log"), ""))
	more := func(what string) {
		t.Helper()
		before, _, _ := r.state()
		h.Wait(20*time.Second, "attempts while the receiver "+what, func() bool { n, _, _ := r.state(); return n >= before+3 })
	}
	killed := 0
	kill := func() {
		t.Helper()
		h.Wait(20*time.Second, "the plugin runs and is killed", func() bool {
			p := h.Plugin("sink-webhook")
			if p.State != "running" && p.State != "degraded" || p.PID == 0 || p.PID == killed {
				return false
			}
			killed = p.PID
			return syscall.Kill(p.PID, syscall.SIGKILL) == nil
		})
	}

	r.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	h.Start()
	var lines strings.Builder
	var want []string
	at := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range attackers {
		want = append(want, fmt.Sprintf("10.9.%d.%d", i/250, i%250+1))
		for range 5 {
			at = at.Add(time.Second)
			fmt.Fprintf(&lines, "%s web1 sshd[8]: Failed password for root from %s port 4711 ssh2\n", at.Format(time.RFC3339), want[i])
		}
	}
	appendTo(t, h.Log("auth.log"), lines.String())

	more("answers 500")
	h.Wait(20*time.Second, "the plugin says what is wrong", func() bool {
		out, err := h.CLI("plugin", "info", "sink-webhook")
		return err == nil && strings.Contains(out, "500 Internal Server Error") && !strings.Contains(out, "t0ken")
	})
	h.Wait(20*time.Second, "another sink has all alerts meanwhile", func() bool {
		var alerts []struct{}
		return h.Try(&alerts, "alerts", "list", "--limit", "1000") == nil && len(alerts) == attackers
	})
	// It waits longer than a plugin may that says it is well.
	pid, began := h.Plugin("sink-webhook").PID, time.Now()
	h.Wait(20*time.Second, "longer than the time to answer", func() bool { return time.Since(began) > 8*time.Second })
	if got := h.Plugin("sink-webhook"); got.PID != pid || got.Restarts != 0 {
		t.Errorf("the plugin was ended for a receiver that is down: %+v", got)
	}
	kill()
	more("answers 500 to the next life")
	r.answer(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
			_ = over.NetConn().(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	})
	more("resets connections")
	r.answer(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-stopped:
		}
	})
	more("hangs")
	h.Kill()
	h.Start()
	more("hangs after the host was killed")

	// What was taken, and not acknowledged, comes again under its id.
	pid = h.Plugin("sink-webhook").PID
	r.mu.Lock()
	r.taking = func(n int) {
		if n == 10 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	r.mu.Unlock()
	r.answer(nil)
	h.Wait(30*time.Second, "every alert is delivered", func() bool { _, _, alerts := r.state(); return len(alerts) >= attackers })
	attempts, again, alerts := r.state()
	if diff := cmp.Diff(want, alerts); diff != "" {
		t.Errorf("alerts, by address and in order (-want +got):\n%s", diff)
	}
	if again == 0 {
		t.Error("nothing came again after the plugin was killed with an answer under way")
	}
	t.Logf("%d alerts in %d attempts, %d of them once more", len(alerts), attempts, again)
	h.Wait(time.Minute, "the plugin is well again", func() bool { return h.Plugin("sink-webhook").Health == "ok" })
	out, err := h.CLI("config", "show")
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"t0ken", string(r.secret), os.Getenv("IRONPOST_TEST_TOKEN")} {
		if hidden != "" && strings.Contains(out+h.Output(), hidden) {
			t.Errorf("%q is shown or logged", hidden)
		}
	}
}
