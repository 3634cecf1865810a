package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/mirror"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// UpdateConfig says from where to update a scanner's advisories.
type UpdateConfig struct {
	Sources
	// From are URLs and paths: of a signed bundle, of a source, or of a mirror of OSV, which ends
	// with "/" or is a folder. Empty is what the scanner's configuration says.
	From []string
	// Ecosystems are those that are fetched from mirrors; empty is what the scanner's configuration
	// says.
	Ecosystems []string
	// AllowOlder takes a bundle that is older than what there is, AllowHTTP URLs without
	// encryption.
	AllowOlder, AllowHTTP bool
	Stdout                io.Writer
	Stderr                io.Writer
	Progress              func(text string)
}

// Endings of the names of bundles and of their signatures, and what a mirror has of each
// ecosystem.
const (
	bundleSuffix    = ".db"
	signatureSuffix = ".minisig"
	mirrorFile      = "all.zip"
)

// bundleMagic is what bundles begin with.
const bundleMagic = "IPVULN"

// UpdateAdvisories fetches what changed of a scanner's advisories, and has the scanner take it
// over. The plugin has no network: this process fetches, into a folder that the plugin may
// read. What cannot be fetched is an error that names it, and keeps nothing else from being
// updated. The scanner's document goes to c.Stdout.
func UpdateAdvisories(ctx context.Context, c UpdateConfig) error {
	u := update{UpdateConfig: c, fetcher: mirror.Client{AllowHTTP: c.AllowHTTP}}
	if c.Progress == nil {
		u.Progress = func(string) {}
	}
	if err := u.ask(ctx); err != nil {
		return err
	}
	items, err := u.items()
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	u.dir = filepath.Join(cache, "advisories")
	if err := state.MakeDir(u.dir, 0o700); err != nil {
		return err
	}
	unlock, err := mirror.Lock(u.dir)
	if err != nil {
		return err
	}
	defer unlock()
	defer func() {
		for _, path := range u.fetched {
			_ = os.Remove(path) // it is fetched again, or written over
		}
	}()
	request, paths, err := u.collect(ctx, items)
	if err != nil {
		return err
	}
	if len(request.Sources) > 0 || len(u.problems) == 0 {
		if err := withScanner(ctx, c.Sources, append(paths, u.dir), c.Stderr, func(conn *link.Conn) error {
			return conn.Advisories(ctx, request, c.Progress, c.Stdout)
		}); err != nil {
			u.problems = append(u.problems, err)
		}
	}
	return errors.Join(u.problems...)
}

// ExportAdvisories writes a scanner's database to out, as a bundle to be signed.
func ExportAdvisories(ctx context.Context, s Sources, out, stderr io.Writer) error {
	return withScanner(ctx, s, nil, stderr, func(conn *link.Conn) error {
		return conn.Advisories(ctx, &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_EXPORT}, nil, out)
	})
}

// held is the part of a scanner's status that says what to ask servers for.
type held struct {
	Sources []struct {
		Name         string `json:"name"`
		ETag         string `json:"etag"`
		LastModified string `json:"last_modified"`
	} `json:"sources"`
	Signature string   `json:"signature"`
	Mirrors   []string `json:"mirrors"`
	Wanted    []string `json:"wanted"`
}

// update is one run of UpdateAdvisories.
type update struct {
	UpdateConfig
	fetcher  mirror.Client
	held     held
	dir      string
	problems []error
	fetched  []string
}

// item is one thing to take over.
type item struct {
	from   string
	local  bool
	bundle bool
}

// ask has the scanner say what it holds.
func (u *update) ask(ctx context.Context) error {
	var out bytes.Buffer
	if err := withScanner(ctx, u.Sources, nil, u.Stderr, func(conn *link.Conn) error {
		return conn.Advisories(ctx, &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_STATUS}, nil, &out)
	}); err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), &u.held); err != nil {
		return fmt.Errorf("read what the scanner holds: %w", err)
	}
	return nil
}

// items says what there is to take over: mirrors are taken apart.
func (u *update) items() ([]item, error) {
	from := u.From
	if len(from) == 0 {
		from = u.held.Mirrors
	}
	if len(from) == 0 {
		return nil, fmt.Errorf("%w: nothing says from where: name a URL or a path, or set mirror in the scanner's section", ErrInvalid)
	}
	wanted := u.Ecosystems
	if len(wanted) == 0 {
		wanted = u.held.Wanted
	}
	var out []item
	for _, f := range from {
		add := u.local
		if remote(f) {
			add = u.remote
		}
		some, err := add(f, wanted)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	if len(out) > 1 && slices.ContainsFunc(out, func(i item) bool { return i.bundle }) {
		return nil, fmt.Errorf("%w: a bundle is all of the advisories: update from it alone", ErrInvalid)
	}
	return out, nil
}

// remote reports whether a text is a URL.
func remote(from string) bool { return strings.Contains(from, "://") }

func (u *update) remote(from string, wanted []string) ([]item, error) {
	at, err := url.Parse(from)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: a URL that cannot be read", ErrInvalid)
	case strings.HasSuffix(at.Path, bundleSuffix):
		return []item{{from: from, bundle: true}}, nil
	case !strings.HasSuffix(at.Path, "/"):
		return []item{{from: from}}, nil
	case len(wanted) == 0:
		return nil, fmt.Errorf("%w: %s is a mirror: say which ecosystems to fetch, with --ecosystem or ecosystems in the scanner's section", ErrInvalid, at.Redacted())
	}
	var out []item
	for _, e := range wanted {
		out = append(out, item{from: at.JoinPath(e, mirrorFile).String()})
	}
	return out, nil
}

func (u *update) local(from string, wanted []string) ([]item, error) {
	path, err := filepath.Abs(from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !info.IsDir() {
		return []item{{from: path, local: true, bundle: begins(path, bundleMagic)}}, nil
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(path), "*", mirrorFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var out []item
	for _, f := range files {
		if len(wanted) == 0 || slices.Contains(wanted, filepath.Base(filepath.Dir(f))) {
			out = append(out, item{from: f, local: true})
		}
	}
	for _, e := range wanted {
		if f := filepath.Join(path, e, mirrorFile); len(files) > 0 && !slices.Contains(files, f) {
			u.problems = append(u.problems, fmt.Errorf("%s: there is no such file", f))
		}
	}
	if len(files) == 0 {
		out = append(out, item{from: path, local: true}) // a folder of records
	}
	return out, nil
}

// escapeGlob is a path as a pattern that fits it alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// begins reports whether a file begins with a text.
func begins(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // the scanner says what is wrong with it
	}
	defer func() { _ = f.Close() }() // it was only read
	head := make([]byte, len(text))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == text
}

// collect fetches the items, and says what the scanner has to do with them. What it has to
// read elsewhere than in u.dir is in paths.
func (u *update) collect(ctx context.Context, items []item) (request *pb.AdvisoriesRequest, paths []string, err error) {
	if items[0].bundle {
		return u.bundle(ctx, items[0])
	}
	request = &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_IMPORT}
	for _, i := range items {
		path, origin := i.from, &pb.AdvisoryOrigin{}
		if i.local {
			paths = append(paths, path)
		} else {
			path, origin, err = u.source(ctx, i.from)
			if ctx.Err() != nil {
				return nil, nil, context.Cause(ctx)
			}
			if err != nil {
				u.problems = append(u.problems, err)
				continue
			}
		}
		request.Sources, request.Origins = append(request.Sources, path), append(request.Origins, origin)
	}
	return request, paths, nil
}

// source fetches one source, if it changed.
func (u *update) source(ctx context.Context, from string) (path string, origin *pb.AdvisoryOrigin, err error) {
	name := nameOf(from)
	var known mirror.Validator
	for _, s := range u.held.Sources {
		if s.Name == name {
			known = mirror.Validator{ETag: s.ETag, LastModified: s.LastModified}
		}
	}
	path, v, err := u.fetch(ctx, from, known, 0)
	if errors.Is(err, mirror.ErrUnchanged) {
		return "", &pb.AdvisoryOrigin{Name: name, Unchanged: true}, nil
	}
	return path, &pb.AdvisoryOrigin{Name: name, Etag: v.ETag, LastModified: v.LastModified}, err
}

// nameOf is a URL as it is kept and shown: without what may be a password.
func nameOf(from string) string {
	at, err := url.Parse(from)
	if err != nil {
		return from
	}
	at.User, at.RawQuery = nil, ""
	return at.String()
}

// bundle fetches a bundle, if its signature is another than that of the installed one.
func (u *update) bundle(ctx context.Context, i item) (*pb.AdvisoriesRequest, []string, error) {
	install := &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_INSTALL, AllowOlder: u.AllowOlder}
	if i.local {
		install.Sources = []string{i.from, i.from + signatureSuffix}
		return install, install.Sources, nil
	}
	at, err := url.Parse(i.from)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: a URL that cannot be read", ErrInvalid)
	}
	at.Path, at.RawPath = at.Path+signatureSuffix, ""
	signature, _, err := u.fetch(ctx, at.String(), mirror.Validator{}, 16<<10)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(signature)
	if err != nil {
		return nil, nil, fmt.Errorf("read the signature: %w", err)
	}
	if u.held.Signature != "" && string(text) == u.held.Signature {
		u.Progress("the bundle did not change")
		return &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_STATUS}, nil, nil
	}
	path, _, err := u.fetch(ctx, i.from, mirror.Validator{}, 0)
	install.Sources = []string{path, signature}
	return install, nil, err
}

// fetch fetches a file into u.dir, under a name that keeps the ending, which says what it is.
func (u *update) fetch(ctx context.Context, from string, known mirror.Validator, most int64) (string, mirror.Validator, error) {
	at, err := url.Parse(from)
	if err != nil {
		return "", mirror.Validator{}, fmt.Errorf("%w: a URL that cannot be read", ErrInvalid)
	}
	digest := sha256.Sum256([]byte(from))
	base := filepath.Base(filepath.FromSlash(at.Path))
	path := filepath.Join(u.dir, hex.EncodeToString(digest[:8])+"-"+base[max(0, len(base)-100):])
	shown := filepath.Join(filepath.Base(filepath.Dir(filepath.FromSlash(at.Path))), base)
	fetcher := u.fetcher
	fetcher.MaxBytes = most
	fetcher.Progress = func(done, all int64) {
		u.Progress(fmt.Sprintf("%s: %d of %d MB", shown, done>>20, cmp.Or(all, done)>>20))
	}
	v, err := fetcher.Fetch(ctx, from, known, path)
	if err == nil && !slices.Contains(u.fetched, path) {
		u.fetched = append(u.fetched, path)
	}
	return path, v, err
}
