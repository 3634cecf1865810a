// Package dockertest stands in for the part of Docker's API that source-docker
// asks for, so that tests can have rotation, lost connections and strange
// answers when they want them.
package dockertest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Docker serves containers on a Unix socket. It is safe for concurrent use.
type Docker struct {
	// Socket is the path of its API.
	Socket string

	mu         sync.Mutex
	containers []*Container
	events     []string
	at         []int64
	grown      chan struct{} // closed when anything changes
	cut        chan struct{} // closed when connections are to end
	deaf       bool
	inspected  int
}

// Container is one of them. Its fields must not be changed while it is served.
type Container struct {
	ID, Name, Image string
	Labels          map[string]string
	Terminal        bool
	// Settings is what Docker shows of the container when it is asked for it
	// alone; "" stands for one that is gone by then.
	Settings string

	docker  *Docker
	running bool
	refusal string
	lines   []line
}

type line struct {
	at     int64
	stderr bool
	text   string
}

// New starts a Docker without containers, which ends with the test.
func New(t testing.TB) *Docker {
	t.Helper()
	dir, err := os.MkdirTemp("", "dkt") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	d := &Docker{Socket: filepath.Join(dir, "s"), grown: make(chan struct{}), cut: make(chan struct{})}
	l, err := net.Listen("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/json", d.list)
	mux.HandleFunc("GET /containers/{id}/json", d.inspect)
	mux.HandleFunc("GET /containers/{id}/logs", d.logs)
	mux.HandleFunc("GET /events", d.follow)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return d
}

func (d *Docker) changed() {
	close(d.grown)
	d.grown = make(chan struct{})
}

// Add adds a running container.
func (d *Docker) Add(c *Container) *Container {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.docker, c.running = d, true
	d.containers = append(d.containers, c)
	d.happen("start", c)
	return c
}

// Exec adds the event of a command that is about to run in the container.
func (c *Container) Exec(command string) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.docker.happen("exec_create: "+command, c)
}

// Inspected returns how often settings were asked for.
func (d *Docker) Inspected() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inspected
}

// happen adds an event.
func (d *Docker) happen(action string, c *Container) {
	at := time.Now().UnixNano()
	d.events = append(d.events, fmt.Sprintf(
		`{"Type":"container","Action":%q,"Actor":{"ID":%q,"Attributes":{"name":%q,"image":%q}},"time":%d,"timeNano":%d}`,
		action, c.ID, c.Name, c.Image, at/1e9, at))
	d.at = append(d.at, at)
	d.changed()
}

// Cut ends every connection. With deaf set no new one is answered.
func (d *Docker) Cut(deaf bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deaf = deaf
	close(d.cut)
	d.cut = make(chan struct{})
}

// Print adds a line that is stamped at a time, in nanoseconds since 1970.
func (c *Container) Print(at int64, stderr bool, text string) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.lines = append(c.lines, line{at, stderr, text})
	c.docker.changed()
}

// Rotate deletes the first n lines.
func (c *Container) Rotate(n int) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.lines = slices.Delete(c.lines, 0, n)
}

// Stop ends the container, and Start runs it again.
func (c *Container) Stop() { c.run(false, "die") }

// Start runs the container again.
func (c *Container) Start() { c.run(true, "start") }

func (c *Container) run(running bool, action string) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.running = running
	c.docker.happen(action, c)
}

// Rename gives the container another name.
func (c *Container) Rename(name string) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.Name = name
	c.docker.happen("rename", c)
}

// Refuse answers calls for the container's output with an error; "" ends that.
func (c *Container) Refuse(message string) {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	c.refusal = message
}

// Remove deletes the container.
func (c *Container) Remove() {
	c.docker.mu.Lock()
	defer c.docker.mu.Unlock()
	d := c.docker
	d.containers = slices.DeleteFunc(d.containers, func(o *Container) bool { return o == c })
	c.running = false
	d.happen("destroy", c)
}

func (d *Docker) list(w http.ResponseWriter, _ *http.Request) {
	type listed struct {
		ID     string `json:"Id"`
		Names  []string
		Image  string
		Labels map[string]string
		State  string
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deaf {
		refuse(w, http.StatusBadGateway, "Docker does not answer")
		return
	}
	out := []listed{}
	for _, c := range d.containers {
		state := "exited"
		if c.running {
			state = "running"
		}
		out = append(out, listed{c.ID, []string{"/other/" + c.Name, "/" + c.Name}, c.Image, c.Labels, state})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (d *Docker) inspect(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inspected++
	i := slices.IndexFunc(d.containers, func(c *Container) bool { return c.ID == r.PathValue("id") })
	if i < 0 || d.containers[i].Settings == "" {
		refuse(w, http.StatusNotFound, "No such container: "+r.PathValue("id"))
		return
	}
	_, _ = w.Write([]byte(d.containers[i].Settings))
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func since(r *http.Request) int64 {
	seconds, nanos, _ := strings.Cut(r.FormValue("since"), ".")
	s, _ := strconv.ParseInt(seconds, 10, 64)
	n, _ := strconv.ParseInt(nanos, 10, 64)
	return s*1e9 + n
}

func (d *Docker) logs(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	cut := d.cut
	i := slices.IndexFunc(d.containers, func(c *Container) bool { return c.ID == r.PathValue("id") })
	switch {
	case d.deaf:
		refuse(w, http.StatusBadGateway, "Docker does not answer")
	case i < 0:
		refuse(w, http.StatusNotFound, "No such container: "+r.PathValue("id"))
	case d.containers[i].refusal != "":
		refuse(w, http.StatusNotImplemented, d.containers[i].refusal)
		i = -1
	}
	if d.deaf || i < 0 {
		d.mu.Unlock()
		return
	}
	c := d.containers[i]
	var last *line
	sent := 0
	from, follow := since(r), r.FormValue("follow") == "1"
	for {
		// Lines that are deleted meanwhile move the others to the front.
		if last != nil {
			for sent > 0 && (sent > len(c.lines) || c.lines[sent-1] != *last) {
				sent--
			}
		}
		for ; sent < len(c.lines); sent++ {
			l := c.lines[sent]
			last = &l
			if l.at >= from {
				c.write(w, l)
			}
		}
		grown, running := d.grown, c.running
		d.mu.Unlock()
		_ = http.NewResponseController(w).Flush()
		if !follow || !running {
			return
		}
		select {
		case <-grown:
		case <-cut:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
		d.mu.Lock()
	}
}

func (c *Container) write(w http.ResponseWriter, l line) {
	stamp := time.Unix(0, l.at).UTC().Format("2006-01-02T15:04:05.000000000Z")
	if c.Terminal {
		fmt.Fprintf(w, "%s %s\r\n", stamp, l.text)
		return
	}
	// As Docker does, a long line comes in pieces with a stamp each.
	const piece = 16 << 10
	for rest := l.text + "\n"; rest != ""; {
		text := rest[:min(len(rest), piece)]
		rest = rest[len(text):]
		header := [8]byte{1}
		if l.stderr {
			header[0] = 2
		}
		text = stamp + " " + text
		binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
		_, _ = w.Write(append(header[:], text...))
	}
}

func (d *Docker) follow(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.deaf {
		refuse(w, http.StatusBadGateway, "Docker does not answer")
		d.mu.Unlock()
		return
	}
	cut, from := d.cut, since(r)
	sent := max(0, len(d.events)-256)
	if from == 0 {
		sent = len(d.events)
	}
	for {
		for ; sent < len(d.events); sent++ {
			if d.at[sent] >= from {
				fmt.Fprintln(w, d.events[sent])
			}
		}
		grown := d.grown
		d.mu.Unlock()
		_ = http.NewResponseController(w).Flush()
		select {
		case <-grown:
		case <-cut:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
		d.mu.Lock()
	}
}
