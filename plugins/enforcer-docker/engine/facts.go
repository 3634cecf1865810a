package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

// Processes lists the ids of a running container's processes, as Docker's machine
// numbers them.
func (e *Engine) Processes(ctx context.Context, id string) ([]int, error) {
	top, err := e.top(ctx, id, []string{"-eo", "pid"})
	if err != nil {
		return nil, err
	}
	column := slices.Index(top.Titles, "PID")
	var out []int
	for _, row := range top.Processes {
		if column >= 0 && column < len(row) {
			if pid, err := strconv.Atoi(row[column]); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out, nil
}

func (e *Engine) top(ctx context.Context, id string, args []string) (container.TopResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	top, err := e.api().ContainerTop(ctx, id, args)
	if err != nil {
		return top, wrap("list the processes of "+Short(id), err)
	}
	return top, nil
}

// Top is the list of a container's processes, in JSON.
func (e *Engine) Top(ctx context.Context, id string) ([]byte, error) {
	top, err := e.top(ctx, id, []string{"-eo", "pid,ppid,user,stime,time,comm,args"})
	if err != nil {
		// The ps of the machine may not know these.
		if top, err = e.top(ctx, id, nil); err != nil {
			return nil, err
		}
	}
	return json.Marshal(top)
}

// Details looks at one container as Inspect does, and returns all that Docker shows of
// it besides, in JSON, without the values in its environment, which hold secrets.
func (e *Engine) Details(ctx context.Context, id string) (Container, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, raw, err := e.api().ContainerInspectWithRaw(ctx, id, false)
	if err != nil {
		return Container{}, nil, wrap("look at the container "+Short(id), err)
	}
	c, err := e.inspected(id, &s)
	if err != nil {
		return Container{}, nil, err
	}
	shown, err := withoutValues(raw)
	if err != nil {
		return Container{}, nil, fmt.Errorf("look at the container %s: %w", Short(id), err)
	}
	return c, shown, nil
}

// withoutValues leaves the values of the environment out of what Docker shows.
func withoutValues(raw []byte) ([]byte, error) {
	var v map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if config, ok := v["Config"].(map[string]any); ok {
		if env, ok := config["Env"].([]any); ok {
			for i := range env {
				if s, ok := env[i].(string); ok {
					name, _, _ := bytes.Cut([]byte(s), []byte("="))
					env[i] = string(name) + "=(left out)"
				}
			}
		}
	}
	return json.Marshal(v)
}

// Changes lists what a container changed in its files, in JSON.
func (e *Engine) Changes(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	changes, err := e.api().ContainerDiff(ctx, id)
	if err != nil {
		return nil, wrap("list the changed files of "+Short(id), err)
	}
	return json.Marshal(changes)
}

// Stats are the figures of a container now, in JSON.
func (e *Engine) Stats(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stats, err := e.api().ContainerStatsOneShot(ctx, id)
	if err != nil {
		return nil, wrap("read the figures of "+Short(id), err)
	}
	defer stats.Body.Close()
	return io.ReadAll(io.LimitReader(stats.Body, 1<<20))
}

// Logs are the last lines of a container's output, as Docker frames them unless it
// has a terminal, at most so many bytes. It ends when ctx does.
func (e *Engine) Logs(ctx context.Context, id string, lines int, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := e.api().ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: strconv.Itoa(lines)})
	if err != nil {
		return nil, wrap("read the output of "+Short(id), err)
	}
	defer out.Close()
	return io.ReadAll(io.LimitReader(out, most))
}

// Event is something that happened to a container: its state changed, or a network
// was connected or disconnected.
type Event struct {
	Container string
	Action    string
	Time      time.Time
}

// late is how old an event may be that comes. Docker skips a reader whose 1024 events
// are not read; who comes to read them is late by then.
const late = 2 * time.Second

// Events calls each with what happened to containers since a time, the zero one being
// that of the call, and with what follows, until ctx is done or the connection ends.
// Docker keeps the last 256 events, and skips readers that are slow. So anew is called
// when the connection stands, and again when events come late: whoever is told looks
// at everything. The error is never nil.
func (e *Engine) Events(ctx context.Context, since time.Time, anew func(), each func(Event)) error {
	if since.IsZero() {
		// The daemon answers before it begins to listen.
		since = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.renew(); err != nil {
		return err
	}
	// A call that fails here says so before anybody is told that it stands.
	if _, err := e.api().Ping(ctx); err != nil {
		return wrap("follow the events", err)
	}
	messages, errs := e.api().Events(ctx, events.ListOptions{Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())})
	begun := time.Now()
	anew()
	for {
		select {
		case m := <-messages:
			ev := Event{Action: string(m.Action), Time: time.Unix(0, m.TimeNano)}
			if ev.Time.After(begun) && time.Since(ev.Time) > late {
				anew()
			}
			switch m.Type {
			case events.ContainerEventType:
				ev.Container = m.Actor.ID
			case events.NetworkEventType:
				ev.Container = m.Actor.Attributes["container"]
			}
			if ev.Container != "" {
				each(ev)
			}
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return wrap("follow the events", err)
		}
	}
}

// Clip cuts others' words, which sentences show, to about so many bytes.
func Clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
