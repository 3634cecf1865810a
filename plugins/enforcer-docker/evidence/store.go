package evidence

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// Bounds of one incident.
const (
	// MaxFile bounds each file, in bytes.
	MaxFile = 2 << 20
	// timeout bounds how long collecting takes.
	timeout = 20 * time.Second
)

// Names of files.
const (
	manifest = "SHA256SUMS"
	about    = "incident.json"
	partial  = ".partial"
)

// Config says where and how much is kept.
type Config struct {
	// Dir is the folder of incidents, which must exist.
	Dir string
	// Bytes and Incidents bound what is kept.
	Bytes     int64
	Incidents int
	// Tail is how many lines of output are kept.
	Tail int
}

// Store keeps incidents.
type Store struct {
	config Config
	mu     sync.Mutex
}

// Open returns the store of a folder, and removes what a crash left half made.
func Open(c Config) (*Store, error) {
	s := &Store{config: c}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of evidence: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partial) {
			if err := os.RemoveAll(filepath.Join(c.Dir, e.Name())); err != nil {
				return nil, fmt.Errorf("remove half-made evidence: %w", err)
			}
		}
	}
	return s, nil
}

// Kept is an incident.
type Kept struct {
	// Dir is its folder, Manifest the SHA-256 of its manifest.
	Dir, Manifest string
	Files         int
	Bytes         int64
	// Missing says what could not be had, "" for nothing.
	Missing string
}

// Details are the facts of an incident.
func (k Kept) Details() []event.Field {
	return []event.Field{
		{Key: "evidence_dir", Value: k.Dir},
		{Key: "evidence_manifest", Value: k.Manifest},
		{Key: "evidence_files", Value: strconv.Itoa(k.Files)},
		{Key: "evidence_bytes", Value: strconv.FormatInt(k.Bytes, 10)},
	}
}

// validIncident is what intents are called: those of alerts by a hash, those of
// operators by a random word.
var validIncident = regexp.MustCompile(`^[0-9A-Za-z_-]{8,128}$`)

// Calls are the calls that collecting makes.
func Calls(id string) []string {
	return []string{
		"GET /containers/" + id + "/json", "GET /containers/" + id + "/top", "GET /containers/" + id + "/logs",
		"GET /containers/" + id + "/changes", "GET /containers/" + id + "/stats", "GET /networks/*",
	}
}

// incident is incident.json.
type incident struct {
	ID        string            `json:"id"`
	AlertID   string            `json:"alert_id"`
	TraceID   string            `json:"trace_id"`
	Container string            `json:"container"`
	Reason    string            `json:"reason"`
	Details   map[string]string `json:"details"`
	Begun     time.Time         `json:"begun"`
	Ended     time.Time         `json:"ended"`
	Missing   map[string]string `json:"missing"`
	// Cut names the files of which the end was left out.
	Cut []string `json:"cut"`
}

// Collect gathers the evidence of an intent about its target. What is kept already
// is left as it is.
func (s *Store) Collect(ctx context.Context, docker *engine.Engine, intent *event.ActionEvent) (Kept, error) {
	if !validIncident.MatchString(intent.ID) {
		return Kept{}, fmt.Errorf("collect evidence: %q is no id of an intent", intent.ID)
	}
	if kept, ok := s.Kept(intent); ok {
		return kept, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	i := incident{
		ID: intent.ID, AlertID: intent.AlertID, TraceID: intent.TraceID.String(), Container: intent.Target, Reason: intent.Reason,
		Details: map[string]string{}, Begun: time.Now().UTC(), Missing: map[string]string{}, Cut: []string{},
	}
	for _, f := range intent.Details {
		i.Details[f.Key] = f.Value
	}
	files := s.gather(ctx, docker, intent.Target, &i)
	if len(files) == 0 {
		return Kept{}, fmt.Errorf("collect evidence: %s", missing(i.Missing))
	}
	i.Ended = time.Now().UTC()
	text, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return Kept{}, fmt.Errorf("collect evidence: %w", err)
	}
	files[about] = text
	return s.keep(intent, files, i.Missing)
}

// gather asks Docker for everything, at once, and returns what it got.
func (s *Store) gather(ctx context.Context, docker *engine.Engine, id string, i *incident) map[string][]byte {
	files := map[string][]byte{}
	var mu sync.Mutex
	var all sync.WaitGroup
	get := func(name string, from func() ([]byte, error)) {
		all.Go(func() {
			data, err := from()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				i.Missing[name] = bounded(err.Error())
				return
			}
			if len(data) > MaxFile {
				data = data[:MaxFile]
				i.Cut = append(i.Cut, name)
			}
			files[name] = data
		})
	}
	get("inspect.json", func() ([]byte, error) { return docker.Details(ctx, id) })
	get("top.json", func() ([]byte, error) { return docker.Top(ctx, id) })
	get("logs.bin", func() ([]byte, error) { return docker.Logs(ctx, id, s.config.Tail, MaxFile+1) })
	get("changes.json", func() ([]byte, error) { return docker.Changes(ctx, id) })
	get("stats.json", func() ([]byte, error) { return docker.Stats(ctx, id) })
	get("networks.json", func() ([]byte, error) { return networks(ctx, docker, id) })
	all.Wait()
	slices.Sort(i.Cut)
	return files
}

// maxNetworks bounds the networks that are looked at.
const maxNetworks = 32

// networks shows how a container is attached, and the networks.
func networks(ctx context.Context, docker *engine.Engine, id string) ([]byte, error) {
	c, err := docker.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	v := struct {
		Mode      string            `json:"mode"`
		Endpoints []engine.Endpoint `json:"endpoints"`
		Networks  []engine.Network  `json:"networks"`
	}{Mode: c.NetworkMode, Endpoints: c.Endpoints, Networks: []engine.Network{}}
	for _, p := range c.Endpoints[:min(len(c.Endpoints), maxNetworks)] {
		n, err := docker.Network(ctx, p.Network)
		if err != nil {
			return nil, err
		}
		v.Networks = append(v.Networks, n)
	}
	return json.Marshal(v)
}

// keep writes an incident, whole, and removes the oldest past the bounds.
func (s *Store) keep(intent *event.ActionEvent, files map[string][]byte, lost map[string]string) (Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sums bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	files[manifest] = sums.Bytes()
	place := filepath.Join(s.config.Dir, intent.ID)
	beside := place + partial
	if err := write(beside, files); err != nil {
		return Kept{}, errors.Join(fmt.Errorf("keep evidence: %w", err), os.RemoveAll(beside))
	}
	if err := os.Rename(beside, place); err != nil && !errors.Is(err, fs.ErrExist) {
		return Kept{}, errors.Join(fmt.Errorf("keep evidence: %w", err), os.RemoveAll(beside))
	}
	if err := syncDir(s.config.Dir); err != nil {
		return Kept{}, fmt.Errorf("keep evidence: %w", err)
	}
	if err := s.prune(intent.ID); err != nil {
		return Kept{}, fmt.Errorf("remove the oldest evidence: %w", err)
	}
	kept, ok := s.Kept(intent)
	if !ok {
		return Kept{}, fmt.Errorf("keep evidence: %s is gone", place)
	}
	kept.Missing = missing(lost)
	return kept, nil
}

func write(dir string, files map[string][]byte) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(files[name])
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// Kept returns the incident of an intent.
func (s *Store) Kept(intent *event.ActionEvent) (Kept, bool) {
	if !validIncident.MatchString(intent.ID) {
		return Kept{}, false
	}
	dir := filepath.Join(s.config.Dir, intent.ID)
	sums, err := os.ReadFile(filepath.Join(dir, manifest))
	if err != nil {
		return Kept{}, false
	}
	sum := sha256.Sum256(sums)
	files, size := weigh(dir)
	return Kept{Dir: dir, Manifest: hex.EncodeToString(sum[:]), Files: files, Bytes: size}, true
}

// weigh counts the files of an incident and their bytes.
func weigh(dir string) (files int, size int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files++
			size += info.Size()
		}
	}
	return files, size
}

// prune removes the oldest incidents past the bounds, but never the newest.
func (s *Store) prune(newest string) error {
	entries, err := os.ReadDir(s.config.Dir)
	if err != nil {
		return err
	}
	type one struct {
		name string
		at   time.Time
		size int64
	}
	var all []one
	var bytes int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !validIncident.MatchString(e.Name()) {
			continue
		}
		_, size := weigh(filepath.Join(s.config.Dir, e.Name()))
		all = append(all, one{e.Name(), info.ModTime(), size})
		bytes += size
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	count := len(all)
	for _, o := range all {
		if count <= s.config.Incidents && bytes <= s.config.Bytes {
			return nil
		}
		if o.name == newest {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.config.Dir, o.name)); err != nil {
			return err
		}
		count--
		bytes -= o.size
	}
	return nil
}

// missing puts what could not be had into a sentence.
func missing(lost map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		parts = append(parts, name+": "+lost[name])
	}
	return bounded(strings.Join(parts, "; "))
}

func bounded(s string) string { return engine.Clip(s, 300) }

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
