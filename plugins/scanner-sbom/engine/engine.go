package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// The errors that callers tell apart.
var (
	// ErrNotFound: there is no such container or image, or it was removed meanwhile.
	ErrNotFound = errors.New("it does not exist")
	// ErrAmbiguous: a name or the beginning of an id fits several.
	ErrAmbiguous = errors.New("it fits several")
	// ErrUnreachable: Docker does not answer.
	ErrUnreachable = docker.ErrUnreachable
)

// Calls are the calls of Docker's API that this package makes. "settings" is inspecting
// a container without its environment and the secrets in it.
func Calls() []string {
	return []string{
		"GET /containers/json", "settings", "GET /containers/*/changes", "GET /containers/*/archive", "GET /containers/*/export",
		"GET /images/json", "GET /images/**/json", "GET /images/**/get", "GET /events",
	}
}

// Config says how to find things out.
type Config struct {
	// Socket is the path of the socket that serves Docker's API, "" when there is none.
	Socket string
	// Dir is where temporary files lie, and what is remembered of images unless Forget is set.
	Dir    string
	Forget bool
	// Images and Bytes bound what is remembered on disk; those that were used least
	// recently go. The zero ones have the default.
	Images int
	Bytes  int64
	// Image bounds an image, and the files of a container.
	Image image.Limits
	// Changes bounds the list of what a container changed: beyond it all its files are
	// read. Own bounds the bytes of these, beyond the size of the image. The zero ones have
	// the default.
	Changes int
	Own     int64
	// Log may be nil.
	Log hclog.Logger
}

// Bounds that hold when nobody says otherwise. Docker reads files with holes, which take no
// room, at some 200 MB/s.
const (
	DefaultImages  = 256
	DefaultBytes   = 1 << 30
	DefaultChanges = 300_000
	DefaultOwn     = 2 << 30
)

// callTimeout bounds a call whose answer is short.
const callTimeout = 30 * time.Second

// Engine looks at one Docker.
type Engine struct {
	config Config
	api    *docker.Client
	stored *store

	mu sync.Mutex
	// reading holds a lock for each image that is being read, so that it is read once.
	reading map[string]*sync.Mutex
	// bases are what images that were used lately hold.
	bases *recent[*base]
	// looked are what containers were found to hold.
	looked *recent[*look]
}

// Bounds of what is held in memory.
const (
	maxBases  = 32
	maxLooked = 512
)

// New returns an Engine. It calls nobody.
func New(c Config) *Engine {
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	c.Images = cmp.Or(max(c.Images, 0), DefaultImages)
	c.Bytes = cmp.Or(max(c.Bytes, 0), DefaultBytes)
	c.Changes = cmp.Or(max(c.Changes, 0), DefaultChanges)
	c.Own = cmp.Or(max(c.Own, 0), DefaultOwn)
	return &Engine{
		config: c, api: docker.New(c.Socket), stored: &store{dir: filepath.Join(c.Dir, "images"), images: c.Images, bytes: c.Bytes},
		reading: map[string]*sync.Mutex{}, bases: newRecent[*base](maxBases), looked: newRecent[*look](maxLooked),
	}
}

// Close lets go of connections. It may be called more than once.
func (e *Engine) Close() { e.api.Close() }

// Ping reports whether Docker answers; the error says why it does not.
func (e *Engine) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var v struct{ APIVersion string }
	return e.read(ctx, "ask Docker for its version", "/version", nil, &v)
}

// read makes a call whose answer is one JSON value.
func (e *Engine) read(ctx context.Context, what, path string, query url.Values, v any) error {
	if e.config.Socket == "" {
		return fmt.Errorf("%s: %w: the plugin has no permission to ask; run: ironpost plugin enable scanner-sbom", what, ErrUnreachable)
	}
	return wrap(what, e.api.Read(ctx, path, query, v))
}

// wrap says what was being done, and which of this package's errors it was.
func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case docker.NotFound(err):
		return fmt.Errorf("%s: %w: %w", what, ErrNotFound, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Container is what there is to know of one.
type Container struct {
	ID, Name string
	// Image is how it was named when the container was made; ImageID is its digest.
	Image, ImageID string
	Labels         map[string]string
	// State is created, running, paused, restarting, removing, exited or dead.
	State string
	// PID is that of its first process, 0 when there is none; Started is when it began.
	PID     int
	Started time.Time
	// Mounts are the places at which other file systems lie, sorted.
	Mounts []Mount
}

// Running reports whether the container has processes, paused or not.
func (c *Container) Running() bool { return c.PID > 0 && (c.State == "running" || c.State == "paused") }

// Mount is another file system in a container.
type Mount struct {
	// Path is relative to the root; Type is bind, volume, tmpfs and others.
	Path, Type string
	// Source is the folder of the host, or the volume's name.
	Source string
}

// listed is what Docker lists of a container.
type listed struct {
	ID      string `json:"Id"`
	Names   []string
	Image   string
	ImageID string
	State   string
}

// name is the container's own name; others are links.
func (l *listed) name() string {
	for _, n := range l.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

func (e *Engine) list(ctx context.Context) ([]listed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out []listed
	err := e.read(ctx, "list the containers", "/containers/json", url.Values{"all": {"1"}}, &out)
	return out, err
}

// Containers lists all containers, running or not. One that is removed meanwhile is
// left out.
func (e *Engine) Containers(ctx context.Context) ([]Container, error) {
	all, err := e.list(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Container, 0, len(all))
	for i := range all {
		c, err := e.Inspect(ctx, all[i].ID)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		default:
			out = append(out, c)
		}
	}
	return out, nil
}

// Inspect looks at one container, by its id or name.
func (e *Engine) Inspect(ctx context.Context, id string) (Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var s struct {
		ID, Name, Image string
		State           struct {
			Status    string
			Pid       int
			StartedAt string
		}
		Config struct {
			Image  string
			Labels map[string]string
		}
		HostConfig struct{ Tmpfs map[string]string }
		Mounts     []struct{ Type, Name, Source, Destination string }
	}
	if err := e.read(ctx, "look at the container "+short(id), "/containers/"+id+"/json", nil, &s); err != nil {
		return Container{}, err
	}
	c := Container{
		ID: s.ID, Name: strings.TrimPrefix(s.Name, "/"), Image: s.Config.Image, ImageID: s.Image, Labels: s.Config.Labels,
		State: s.State.Status, PID: s.State.Pid,
	}
	c.Started, _ = time.Parse(time.RFC3339Nano, s.State.StartedAt) // the zero one is that it is not known
	for _, m := range s.Mounts {
		c.Mounts = append(c.Mounts, Mount{Path: relative(m.Destination), Type: m.Type, Source: cmp.Or(m.Name, m.Source)})
	}
	for path := range s.HostConfig.Tmpfs {
		c.Mounts = append(c.Mounts, Mount{Path: relative(path), Type: "tmpfs"})
	}
	slices.SortFunc(c.Mounts, func(a, b Mount) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Type, b.Type)) })
	c.Mounts = slices.CompactFunc(c.Mounts, func(a, b Mount) bool { return a.Path == b.Path })
	return c, nil
}

// Image is what there is to know of an image. ID is what Docker knows it by.
type Image struct {
	ID string
	// Tags are its names, Digests those that registries have for it, NAME@sha256:...
	Tags, Digests []string
	OS, Arch      string
	// Size is of its layers, in bytes, as Docker counts it.
	Size int64
}

// Name is its first name, or the id of one that has none.
func (i *Image) Name() string {
	if len(i.Tags) > 0 {
		return i.Tags[0]
	}
	return i.ID
}

// shownImage is what Docker shows of an image, in a list or alone.
type shownImage struct {
	ID                    string `json:"Id"`
	RepoTags, RepoDigests []string
	Os, Architecture      string
	Size                  int64
}

func (s *shownImage) image() Image {
	named := func(list []string) []string {
		return slices.DeleteFunc(list, func(n string) bool { return strings.HasPrefix(n, "<none>") })
	}
	i := Image{ID: s.ID, Tags: named(s.RepoTags), Digests: named(s.RepoDigests), OS: s.Os, Arch: s.Architecture, Size: s.Size}
	slices.Sort(i.Tags)
	slices.Sort(i.Digests)
	return i
}

// Images lists the images that have a name, or a container.
func (e *Engine) Images(ctx context.Context) ([]Image, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list []shownImage
	if err := e.read(ctx, "list the images", "/images/json", nil, &list); err != nil {
		return nil, err
	}
	out := make([]Image, len(list))
	for i := range list {
		out[i] = list[i].image()
	}
	return out, nil
}

// InspectImage looks at one image, by its name, digest or id.
func (e *Engine) InspectImage(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var s shownImage
	if err := e.read(ctx, "look at the image "+short(ref), "/images/"+ref+"/json", nil, &s); err != nil {
		return Image{}, err
	}
	return s.image(), nil
}

// relative turns a path of a container into one relative to its root.
func relative(path string) string {
	return strings.TrimPrefix(filepath.ToSlash(filepath.Clean("/"+path)), "/")
}

// short is the form of an id that people know.
func short(id string) string {
	const digits, all = 12, 64
	if hex := strings.TrimPrefix(id, "sha256:"); len(hex) == all {
		return hex[:digits]
	}
	return id
}
