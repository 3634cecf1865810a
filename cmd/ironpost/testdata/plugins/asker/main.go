// Command asker is a plugin that asks the host for what it was granted, and for
// more, and counts the answers under "NAME ANSWER".
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

type config struct {
	Container string `config:"container" help:"the container that may be paused"`
	PID       int    `config:"pid" help:"a process to ask about"`
	Socket    string `config:"socket" help:"Docker's own socket"`
}

func main() {
	a := &asker{}
	os.Exit(sdk.Main(sdk.Plugin{
		Name: "asker", Version: "1.0.0", Summary: "Asks the host", Section: "asker", Config: &a.config,
		Permissions: sdk.Permissions{
			Docker:   []string{"read", "POST /containers/web/pause", "POST /containers/web/unpause"},
			Services: []string{"processes"},
		},
		Setup: a.setup, Detector: a,
	}))
}

type asker struct {
	config config
	env    sdk.Env
}

func (*asker) Detect(context.Context, sdk.Batch, func(*event.AlertEvent)) error { return nil }

func (a *asker) setup(ctx context.Context, env sdk.Env) error {
	a.env = env
	go a.ask(context.WithoutCancel(ctx))
	return nil
}

func (a *asker) ask(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.env.Docker)
	}}}
	events := make(chan struct{})
	go a.events(ctx, client, events)
	<-events
	web := "/v1.41/containers/" + a.config.Container
	for _, call := range []struct{ name, method, path, body string }{
		{"ping", "GET", "/_ping", ""},
		{"list", "GET", "/v1.41/containers/json", ""},
		{"inspect", "GET", web + "/json", ""},
		{"pause", "POST", web + "/pause", ""},
		{"unpause", "POST", web + "/unpause", ""},
		{"stop", "POST", web + "/stop", ""},
		{"exec", "POST", web + "/exec", `{"Cmd":["id"]}`},
		{"create", "POST", "/v1.41/containers/create", `{"Image":"busybox:local","HostConfig":{"Privileged":true,"Binds":["/:/host"]}}`},
		{"dots", "POST", "/v1.41/containers/web/../create", `{}`},
	} {
		a.env.Counter(call.name+" "+answer(ctx, client, call.method, call.path, call.body), 1)
	}
	c, err := net.Dial("unix", a.config.Socket)
	if err == nil {
		_ = c.Close()
	}
	a.env.Counter(fmt.Sprintf("direct %v", err != nil), 1)
	a.processes(ctx)
	a.env.Counter("done", 1)
}

// events counts the first event that says that the container was paused. It
// closes ready when the answer has begun.
func (a *asker) events(ctx context.Context, client *http.Client, ready chan<- struct{}) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/v1.41/events", http.NoBody)
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(req)
	close(ready)
	if err != nil {
		a.env.Counter("events "+err.Error(), 1)
		return
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if strings.Contains(s.Text(), `"pause"`) {
			a.env.Counter("events pause", 1)
			return
		}
	}
}

func answer(ctx context.Context, client *http.Client, method, path, body string) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://docker", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.URL.Path = path
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	_ = resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

func (a *asker) processes(ctx context.Context) {
	found, err := a.env.Processes.List(ctx, a.config.PID)
	if err != nil || len(found) != 1 {
		a.env.Counter(fmt.Sprintf("process %d %v", len(found), err), 1)
		return
	}
	a.env.Counter(fmt.Sprintf("process uid=%d executable=%s", found[0].UID, found[0].Executable), 1)
	all, err := a.env.Processes.List(ctx)
	a.env.Counter(fmt.Sprintf("processes %v %v", len(all) > 3, err), 1)
	mapped, err := a.env.Processes.Mapped(ctx, a.config.PID)
	if err != nil || len(mapped) != 1 || !mapped[0].HasProgram {
		a.env.Counter(fmt.Sprintf("mapped %d %v", len(mapped), err), 1)
		return
	}
	a.env.Counter(fmt.Sprintf("mapped program=%s host=%v", mapped[0].Files[0].Path, !mapped[0].OtherRoot), 1)
	mapped, err = a.env.Processes.Mapped(ctx)
	own := false
	for _, p := range mapped {
		own = own || p.PID == a.config.PID
	}
	a.env.Counter(fmt.Sprintf("mapped %v %v %v", len(mapped) > 1, own, err), 1)
	out, err := a.env.Commands.Run(ctx, "journalctl", "--version")
	if err == nil {
		_ = out.Close()
	}
	a.env.Counter(fmt.Sprintf("command %v", err != nil), 1)
}
