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
	// ExportBytes and ExportTime bound the export of a container's files, where it is
	// asked for.
	ExportBytes int64
	ExportTime  time.Duration
}

// Store keeps incidents.
type Store struct {
	config Config
	mu     sync.Mutex // of what is in the folder, and of what follows
	// busy has the incidents that are being collected; each channel is closed then.
	busy map[string]chan struct{}
	// sizes are the bytes of incidents, which do not change.
	sizes map[string]int64
}

// Open returns the store of a folder, and removes what a crash left half made.
func Open(c Config) (*Store, error) {
	s := &Store{config: c, busy: make(map[string]chan struct{}), sizes: make(map[string]int64)}
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
	// Missing says what could not be had, "" for nothing; Cut what was cut off, and why.
	Missing, Cut string
}

// Details are the facts of an incident.
func (k Kept) Details() []event.Field {
	out := []event.Field{
		{Key: "evidence_dir", Value: k.Dir},
		{Key: "evidence_manifest", Value: k.Manifest},
		{Key: "evidence_files", Value: strconv.Itoa(k.Files)},
		{Key: "evidence_bytes", Value: strconv.FormatInt(k.Bytes, 10)},
	}
	if k.Cut != "" {
		out = append(out, event.Field{Key: "evidence_cut", Value: k.Cut})
	}
	return out
}

// validIncident is what intents are called: those of alerts by a hash, those of
// operators by a random word.
var validIncident = regexp.MustCompile(`^[0-9A-Za-z_-]{8,128}$`)

// Calls are the calls that collecting makes for an intent.
func Calls(intent *event.ActionEvent) []string {
	id := intent.Target
	out := []string{
		"GET /containers/" + id + "/json", "GET /containers/" + id + "/top", "GET /containers/" + id + "/logs",
		"GET /containers/" + id + "/changes", "GET /containers/" + id + "/stats", "GET /networks/*",
	}
	if wantsExport(intent) {
		out = append(out, "GET /containers/"+id+"/export")
	}
	return out
}

// Collect gathers the evidence of an intent about its target. What is kept already
// is left as it is.
func (s *Store) Collect(ctx context.Context, docker *engine.Engine, intent *event.ActionEvent) (Kept, error) {
	if !validIncident.MatchString(intent.ID) {
		return Kept{}, fmt.Errorf("collect evidence: %q is no id of an intent", intent.ID)
	}
	done, err := s.begin(ctx, intent.ID)
	if err != nil {
		return Kept{}, err
	}
	defer done()
	if kept, ok := s.Kept(intent); ok {
		return kept, nil
	}
	i := incident{
		ID: intent.ID, AlertID: intent.AlertID, TraceID: intent.TraceID.String(), Container: intent.Target, Reason: intent.Reason,
		Details: map[string]string{}, Begun: time.Now().UTC(), Missing: map[string]string{}, Cut: []string{}, CutBecause: map[string]string{},
	}
	for _, f := range intent.Details {
		i.Details[f.Key] = f.Value
	}
	beside := filepath.Join(s.config.Dir, intent.ID) + partial
	files, err := s.fill(ctx, docker, intent, beside, &i)
	if err != nil {
		return Kept{}, errors.Join(fmt.Errorf("keep evidence: %w", err), os.RemoveAll(beside))
	}
	if files == 0 {
		return Kept{}, errors.Join(fmt.Errorf("collect evidence: %s", told(i.Missing)), os.RemoveAll(beside))
	}
	return s.keep(intent, beside, &i)
}

// begin waits until nobody else collects the same, and has others wait until done is
// called.
func (s *Store) begin(ctx context.Context, id string) (done func(), err error) {
	for {
		s.mu.Lock()
		other := s.busy[id]
		if other == nil {
			mine := make(chan struct{})
			s.busy[id] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, id)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for evidence that is being collected: %w", context.Cause(ctx))
		}
	}
}

// fill gathers and writes the files of an incident, its export where that is asked for,
// and what it is about, and last their hashes. It returns how many files Docker gave;
// where there are none, what is in the folder is not whole.
func (s *Store) fill(ctx context.Context, docker *engine.Engine, intent *event.ActionEvent, dir string, i *incident) (files int, err error) {
	if err := os.RemoveAll(dir); err != nil {
		return 0, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	sums := map[string]string{}
	var writing writes
	defer writing.all.Wait()
	add := func(name string, data []byte) {
		sum := sha256.Sum256(data)
		sums[name] = hex.EncodeToString(sum[:])
		writing.begin(filepath.Join(dir, name), data)
	}
	// Written while Docker is still asked, they would keep the answers waiting.
	got := s.gather(ctx, docker, intent.Target, i)
	if len(got) == 0 {
		return 0, nil
	}
	for name, data := range got {
		add(name, data)
	}
	if wantsExport(intent) {
		sum, err := s.export(ctx, docker, intent.Target, dir, i)
		if err != nil {
			return 0, err
		}
		if sum != "" {
			sums[exported] = sum
		}
	}
	slices.Sort(i.Cut)
	i.Ended = time.Now().UTC()
	text, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return 0, err
	}
	add(about, text)
	var lines bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&lines, "%s  %s\n", sums[name], name)
	}
	writing.begin(filepath.Join(dir, manifest), lines.Bytes())
	return len(got), writing.wait(dir)
}

// keep puts an incident into its place, whole, and removes the oldest past the bounds.
func (s *Store) keep(intent *event.ActionEvent, beside string, i *incident) (Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place := filepath.Join(s.config.Dir, intent.ID)
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
	kept.Missing = told(i.Missing)
	return kept, nil
}

// writes are files of one folder being written at once: the disk is waited for about as
// long as for one.
type writes struct {
	made, all sync.WaitGroup
	mu        sync.Mutex
	err       error
}

// begin writes a file; data is not changed until wait returns.
func (w *writes) begin(path string, data []byte) {
	w.made.Add(1)
	w.all.Go(func() { w.note(w.write(path, data)) })
}

// write makes a file whose bytes are on the disk.
func (w *writes) write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	w.made.Done()
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (w *writes) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = errors.Join(w.err, err)
}

// wait returns when all files are on the disk, with their names in the folder, or why
// one is not. The names need no file to be whole, only to be there.
func (w *writes) wait(dir string) error {
	w.made.Wait()
	w.note(syncDir(dir))
	w.all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
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
	return Kept{Dir: dir, Manifest: hex.EncodeToString(sum[:]), Files: files, Bytes: size, Cut: cutOf(dir)}, true
}

// cutOf says what was cut off of an incident that is kept, and why; "" for nothing.
func cutOf(dir string) string {
	var i incident
	text, err := os.ReadFile(filepath.Join(dir, about))
	if err != nil || json.Unmarshal(text, &i) != nil {
		return ""
	}
	return told(i.CutBecause)
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
	sizes := make(map[string]int64, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !validIncident.MatchString(e.Name()) {
			continue
		}
		size, known := s.sizes[e.Name()]
		if !known || e.Name() == newest {
			_, size = weigh(filepath.Join(s.config.Dir, e.Name()))
		}
		sizes[e.Name()] = size
		all = append(all, one{e.Name(), info.ModTime(), size})
		bytes += size
	}
	s.sizes = sizes
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

// told puts what is said of files into a sentence.
func told(lost map[string]string) string {
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
