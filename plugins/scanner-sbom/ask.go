package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// docker returns what looks into the local Docker. It calls nobody yet.
func (s *scanner) docker() *engine.Engine {
	return engine.New(engine.Config{
		Socket: s.watching.env.Docker, Dir: s.cfg.DatabaseDir, Forget: !s.cfg.Remember, Image: s.cfg.image(), Bytes: int64(s.cfg.RememberBytes), Log: s.log,
	})
}

// ask looks into a container or an image of the local Docker.
func (s *scanner) ask(ctx context.Context, target, platform string, progress func(string)) (*found, error) {
	e := s.docker()
	r, err := e.Scan(ctx, target, engine.Options{Scan: s.how(progress), Platform: platform, Progress: progress})
	switch {
	case errors.Is(err, engine.ErrUnreachable):
		err = fmt.Errorf("there is no such path, and Docker cannot be asked for a container or an image of this name: %w; start Docker, or set docker_socket in [plugins]", err)
	case errors.Is(err, engine.ErrNotFound):
		err = fmt.Errorf("there is no such path either: %w", err)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	f := &found{target: targetOf(r), packages: r.Packages, problems: r.Problems, stats: r.Stats, notes: r.Notes, docker: about(r)}
	files := &lazy{open: func() (tree.View, func() error, error) { return r.View(ctx) }}
	f.files = files
	f.close = func() {
		files.close()
		e.Close()
	}
	return f, nil
}

// lazy is a tree that is opened when a file of it is: few scans want one.
type lazy struct {
	open func() (tree.View, func() error, error)

	once sync.Once
	view tree.View
	done func() error
	err  error
}

// Open implements fs.FS.
func (l *lazy) Open(name string) (fs.File, error) {
	l.begin()
	if l.err != nil {
		return nil, l.err
	}
	return l.view.Open(name)
}

// begin opens the tree, once.
func (l *lazy) begin() { l.once.Do(func() { l.view, l.done, l.err = l.open() }) }

func (l *lazy) close() {
	if l.done != nil {
		_ = l.done() // it was read only
	}
}

// targetOf is what a document says of a container or an image.
func targetOf(r *engine.Result) document.Target {
	if c := r.Container; c != nil {
		return document.Target{Name: c.Name, Kind: document.Container, Version: c.ID}
	}
	return document.Target{Name: r.Image.Name(), Kind: document.Image, Version: r.Image.ID, PURL: purlOf(&r.Image)}
}

// purlOf is the package URL of an image that a registry knows: its type "oci" wants
// the registry's digest (purl-spec, PURL-TYPES, "oci").
func purlOf(i *engine.Image) string {
	if len(i.Digests) == 0 {
		return ""
	}
	repository, digest, ok := strings.Cut(i.Digests[0], "@")
	if !ok {
		return ""
	}
	name := repository[strings.LastIndexByte(repository, '/')+1:]
	tag := ""
	for _, t := range i.Tags {
		if rest, ok := strings.CutPrefix(t, repository+":"); ok && !strings.Contains(rest, "/") {
			tag = rest
			break
		}
	}
	return document.ImagePURL(strings.ToLower(name), digest, completed(repository), tag, i.Arch)
}

// completed is a repository with the registry that Docker means when none is named.
func completed(repository string) string {
	const registry = "docker.io"
	host, _, ok := strings.Cut(repository, "/")
	switch {
	case !ok:
		return registry + "/library/" + repository
	case strings.ContainsAny(host, ".:") || host == "localhost":
		return repository
	}
	return registry + "/" + repository
}

// asked is what a report says of a container or an image of Docker's.
type asked struct{ id, image, imageID string }

func about(r *engine.Result) *asked {
	if c := r.Container; c != nil {
		return &asked{id: c.ID, image: cmp.Or(c.Image, r.Image.Name()), imageID: c.ImageID}
	}
	return &asked{id: r.Image.ID}
}
