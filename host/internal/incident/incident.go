package incident

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The names of files in an incident.
const (
	manifest = "SHA256SUMS"
	about    = "incident.json"
)

// Bounds of what is read.
const (
	maxAbout    = 1 << 20 // bytes
	maxManifest = 64 << 10
	maxFiles    = 256
	minPrefix   = 8 // letters of an id that is cut short
)

// The states of an incident.
const (
	// Verified: all files are as the manifest says, which is the one that was recorded.
	Verified = "verified"
	// Unrecorded: all files are as the manifest says; whether that is the one that was
	// written at the time is not known.
	Unrecorded = "unrecorded"
	// Changed: the faults say what is not as it was.
	Changed = "changed"
)

var (
	// ErrNone says that there is no such incident.
	ErrNone = errors.New("no such evidence")
	// ErrAmbiguous says that more than one is meant.
	ErrAmbiguous = errors.New("more than one is meant")
)

var (
	validID   = regexp.MustCompile(`^[0-9A-Za-z_-]{8,128}$`)
	validName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)
	validSum  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// List returns the incidents of a folder, the newest first, at most limit; 0 is no
// limit. They are not verified. One that cannot be read has a fault that says so.
func List(dir string, limit int) ([]*pb.Incident, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the evidence: %w", err)
	}
	defer closed(root)
	names, err := incidents(root)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		names = names[:min(len(names), limit)]
	}
	out := make([]*pb.Incident, 0, len(names))
	for _, id := range names {
		one, folder, err := open(root, id)
		if err != nil {
			out = append(out, &pb.Incident{Id: id, Path: place(root, id), Faults: []string{err.Error()}})
			continue
		}
		closed(folder)
		out = append(out, one)
	}
	return out, nil
}

// incidents returns the ids, the newest first.
func incidents(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("read the evidence: %w", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("read the evidence: %w", err)
	}
	type one struct {
		id string
		at time.Time
	}
	var found []one
	for _, e := range entries {
		if !e.IsDir() || !validID.MatchString(e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil {
			found = append(found, one{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b one) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.id, b.id)) })
	ids := make([]string, len(found))
	for i, o := range found {
		ids[i] = o.id
	}
	return ids, nil
}

// closed closes a folder that was only read.
func closed(r *os.Root) { _ = r.Close() }

func place(root *os.Root, id string) string { return root.Name() + string(os.PathSeparator) + id }

// Find returns the id of the incident that is meant by its id, or by its beginning.
// Errors wrap ErrNone or ErrAmbiguous.
func Find(dir, id string) (string, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s does not exist", ErrNone, dir)
	}
	if err != nil {
		return "", fmt.Errorf("open the evidence: %w", err)
	}
	defer closed(root)
	names, err := incidents(root)
	if err != nil {
		return "", err
	}
	var meant []string
	for _, name := range names {
		switch {
		case name == id:
			return id, nil
		case len(id) >= minPrefix && strings.HasPrefix(name, id):
			meant = append(meant, name)
		}
	}
	switch len(meant) {
	case 0:
		return "", fmt.Errorf("%w: %q in %s", ErrNone, id, dir)
	case 1:
		return meant[0], nil
	}
	return "", fmt.Errorf("%w: %d begin with %q", ErrAmbiguous, len(meant), id)
}

// Verify reads an incident and holds its files to their hashes, and the manifest to
// its recorded SHA-256, unless that is "". What is wrong is in the incident; errors are
// of reading at all, and wrap ErrNone.
func Verify(ctx context.Context, dir, id, recorded string) (*pb.Incident, error) {
	if !validID.MatchString(id) {
		return nil, fmt.Errorf("%w: %q is no id", ErrNone, id)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the evidence: %w", err)
	}
	defer closed(root)
	one, folder, err := open(root, id)
	if err != nil {
		return nil, err
	}
	defer closed(folder)
	one.Recorded = recorded
	fault := func(format string, args ...any) { one.Faults = append(one.Faults, fmt.Sprintf(format, args...)) }
	sums, err := read(folder, manifest, maxManifest)
	if err != nil {
		fault("The manifest %s cannot be read: %v.", manifest, err)
		one.State = Changed
		return one, nil
	}
	sum := sha256.Sum256(sums)
	one.Manifest = hex.EncodeToString(sum[:])
	if recorded != "" && one.Manifest != recorded {
		fault("The manifest is not the one that was recorded when the evidence was kept.")
	}
	wanted, bad := parse(sums)
	if bad != "" {
		fault("The manifest is not as it was written: %s.", bad)
	}
	for _, f := range one.Files {
		f.Sha256 = wanted[f.Name]
		delete(wanted, f.Name)
		switch got, err := hash(ctx, folder, f.Name); {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("verify the evidence %s: %w", id, context.Cause(ctx))
		case f.Name == manifest:
			f.Sha256, f.State = one.Manifest, "ok"
		case f.Sha256 == "":
			f.State = "extra"
			fault("%s is not in the manifest.", f.Name)
		case err != nil:
			f.State = Changed
			fault("%s cannot be read: %v.", f.Name, err)
		case got != f.Sha256:
			f.State = Changed
			fault("%s is not as it was kept.", f.Name)
		default:
			f.State = "ok"
		}
	}
	for name, sum := range wanted {
		one.Files = append(one.Files, &pb.IncidentFile{Name: name, Sha256: sum, State: "absent"})
		fault("%s is gone.", name)
	}
	slices.SortFunc(one.Files, func(a, b *pb.IncidentFile) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(one.Faults)
	switch {
	case len(one.Faults) > 0:
		one.State = Changed
	case recorded == "":
		one.State = Unrecorded
	default:
		one.State = Verified
	}
	return one, nil
}

// document is incident.json.
type document struct {
	AlertID   string            `json:"alert_id"`
	TraceID   string            `json:"trace_id"`
	Container string            `json:"container"`
	Reason    string            `json:"reason"`
	Details   map[string]string `json:"details"`
	Begun     time.Time         `json:"begun"`
	Ended     time.Time         `json:"ended"`
	Missing   map[string]string `json:"missing"`
	Cut       []string          `json:"cut"`
}

// open reads what an incident is about, and returns its folder, which the caller
// closes. Errors wrap ErrNone when there is none.
func open(root *os.Root, id string) (*pb.Incident, *os.Root, error) {
	info, err := root.Lstat(id)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil, fmt.Errorf("%w: %s", ErrNone, id)
	}
	var folder *os.Root
	if err == nil {
		folder, err = root.OpenRoot(id)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the evidence %s: %w", id, err)
	}
	one, err := describe(folder, id)
	if err != nil {
		_ = folder.Close()
		return nil, nil, fmt.Errorf("read the evidence %s: %w", id, err)
	}
	one.Path = place(root, id)
	return one, folder, nil
}

func describe(folder *os.Root, id string) (*pb.Incident, error) {
	one := &pb.Incident{Id: id}
	var doc document
	text, err := read(folder, about, maxAbout)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		one.Faults = append(one.Faults, fmt.Sprintf("%s cannot be read: %v.", about, err))
	} else {
		one.AlertId, one.TraceId, one.Container, one.Reason = doc.AlertID, doc.TraceID, doc.Container, doc.Reason
		one.ContainerName, one.Policy, one.Missing = doc.Details["target_name"], doc.Details["policy"], doc.Missing
		one.Begun, one.Ended = timestamppb.New(doc.Begun), timestamppb.New(doc.Ended)
	}
	dir, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("it has more than %d files", maxFiles)
	}
	for _, e := range entries {
		f := &pb.IncidentFile{Name: e.Name(), Cut: slices.Contains(doc.Cut, e.Name())}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			f.Bytes = uint64(info.Size())
			one.Bytes += f.Bytes
		}
		one.Files = append(one.Files, f)
	}
	slices.SortFunc(one.Files, func(a, b *pb.IncidentFile) int { return cmp.Compare(a.Name, b.Name) })
	return one, nil
}

// parse reads a manifest: the hash of each file, and the first thing that is wrong.
func parse(sums []byte) (wanted map[string]string, bad string) {
	wanted = make(map[string]string)
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		switch {
		case !ok || !validSum.MatchString(sum) || !validName.MatchString(name) || name == manifest:
			return wanted, fmt.Sprintf("the line %q", line)
		case wanted[name] != "":
			return wanted, "it names " + name + " twice"
		case len(wanted) == maxFiles:
			return wanted, "it names too many files"
		}
		wanted[name] = sum
	}
	return wanted, ""
}

// plain opens a file that is a plain one; what else waits in the folder, such as a
// pipe, would hold the reader up.
func plain(folder *os.Root, name string) (*os.File, error) {
	f, err := folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no plain file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// read returns a file of at most so many bytes.
func read(folder *os.Root, name string, most int64) ([]byte, error) {
	f, err := plain(folder, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return data, err
}

// hash returns the SHA-256 of a file, unless ctx ends before.
func hash(ctx context.Context, folder *os.Root, name string) (string, error) {
	f, err := plain(folder, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	const chunk = 4 << 20
	for {
		n, err := io.CopyN(h, f, chunk)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		if ctx.Err() != nil || n == 0 {
			return "", context.Cause(ctx)
		}
	}
}
