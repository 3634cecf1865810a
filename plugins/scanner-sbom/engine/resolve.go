package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Prefixes of targets that say what they name.
const (
	ContainerPrefix = "container:"
	ImagePrefix     = "image:"
)

// names are what a target may be, after its prefix: names, references and ids.
var names = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.:/@+-]{0,511}$`)

// IsName says whether a target looks like the name or id of a container or an image,
// with or without a prefix.
func IsName(target string) bool {
	_, name := kindOf(target)
	return names.MatchString(name) && !strings.Contains(name, "//") && !strings.Contains(name, "..") && !strings.HasSuffix(name, "/")
}

func kindOf(target string) (prefix, name string) {
	for _, prefix := range []string{ContainerPrefix, ImagePrefix} {
		if name, ok := strings.CutPrefix(target, prefix); ok {
			return prefix, name
		}
	}
	return "", target
}

var (
	fullID = regexp.MustCompile(`^[0-9a-f]{64}$`)
	someID = regexp.MustCompile(`^[0-9a-f]{2,64}$`)
)

// named is what a target was found to be: one of the two.
type named struct {
	container *Container
	image     *Image
	notes     []string
}

// find looks for what a target names: a container of this name or id, an image of this
// name, digest or id, then a container or image whose id begins so. A container wins over an
// image of the same name, and the notes say so.
func (e *Engine) find(ctx context.Context, target string) (*named, error) {
	if !IsName(target) {
		return nil, fmt.Errorf("%w: %q is no name of a container or an image", ErrNotFound, target)
	}
	prefix, name := kindOf(target)
	if prefix == ContainerPrefix && fullID.MatchString(name) {
		return e.container(ctx, name)
	}
	var all []listed
	var img *Image
	if prefix != ImagePrefix {
		var err error
		if all, err = e.list(ctx); err != nil {
			return nil, err
		}
	}
	if prefix != ContainerPrefix {
		found, err := e.InspectImage(ctx, name)
		switch {
		case err == nil:
			img = &found
		case errors.Is(err, ErrUnreachable), ctx.Err() != nil:
			return nil, err
		}
	}
	begins := someID.MatchString(name)
	byID := img != nil && begins && strings.HasPrefix(strings.TrimPrefix(img.ID, "sha256:"), name)
	if at := slices.IndexFunc(all, func(l listed) bool { return l.ID == name || l.name() == name }); at >= 0 {
		out, err := e.container(ctx, all[at].ID)
		if err == nil && img != nil {
			out.notes = append(out.notes, fmt.Sprintf("%s is a container and an image; this is the container, and %s%s is the image", name, ImagePrefix, name))
		}
		return out, err
	}
	if img != nil && !byID {
		return &named{image: img}, nil
	}
	var fit []string
	var id string
	for _, l := range all {
		if begins && strings.HasPrefix(l.ID, name) {
			fit, id = append(fit, fmt.Sprintf("%s%s (%s)", ContainerPrefix, short(l.ID), l.name())), l.ID
		}
	}
	images, err := e.beginning(ctx, prefix, name, img)
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		fit = append(fit, fmt.Sprintf("%s%s (%s)", ImagePrefix, short(i.ID), i.Name()))
	}
	switch {
	case len(fit) > 1:
		return nil, fmt.Errorf("%w: %s begins the ids of %s; write more of it", ErrAmbiguous, name, few(fit))
	case id != "":
		return e.container(ctx, id)
	case len(images) == 1:
		return &named{image: &images[0]}, nil
	}
	return nil, e.missing(ctx, prefix, name, all)
}

func (e *Engine) container(ctx context.Context, id string) (*named, error) {
	c, err := e.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	return &named{container: &c}, nil
}

// beginning returns the images whose ids begin with name.
func (e *Engine) beginning(ctx context.Context, prefix, name string, one *Image) ([]Image, error) {
	if one != nil {
		return []Image{*one}, nil // Docker refuses what fits several
	}
	if prefix == ContainerPrefix || !someID.MatchString(name) {
		return nil, nil
	}
	all, err := e.Images(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i Image) bool { return !strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), name) }), nil
}

// missing says that there is nothing of the name, and what there is like it.
func (e *Engine) missing(ctx context.Context, prefix, name string, all []listed) error {
	var like []string
	for _, l := range all {
		if near(l.name(), name) {
			like = append(like, ContainerPrefix+l.name())
		}
	}
	what := "container and no image"
	switch prefix {
	case ContainerPrefix:
		what = "container"
	case ImagePrefix:
		what = "image"
	}
	if prefix != ContainerPrefix {
		images, err := e.Images(ctx)
		if err != nil {
			return err
		}
		for _, i := range images {
			for _, tag := range i.Tags {
				if near(tag, name) {
					like = append(like, ImagePrefix+tag)
				}
			}
		}
	}
	err := fmt.Errorf("%w: Docker has no %s %s", ErrNotFound, what, name)
	if len(like) > 0 {
		err = fmt.Errorf("%w; there is %s", err, few(like))
	}
	return err
}

// near says whether one name has the other in it.
func near(a, b string) bool {
	repository, _, _ := strings.Cut(b, ":")
	const least = 3
	return len(repository) >= least && len(a) >= least && (strings.Contains(a, repository) || strings.Contains(repository, a))
}

// few joins the first of a list.
func few(list []string) string {
	const most = 8
	slices.Sort(list)
	if n := len(list); n > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	}
	return strings.Join(list, ", ")
}
