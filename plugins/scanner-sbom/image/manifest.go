package image

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// Files of an OCI layout, and of what "docker save" writes.
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	savedFile  = "manifest.json"
)

// descriptor points to a blob.
type descriptor struct {
	Digest      string            `json:"digest"`
	Platform    *platform         `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// platform is what an image runs on.
type platform struct {
	OS   string `json:"os"`
	Arch string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Arch }

// manifest is an index of images, or the manifest of one.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
}

// configuration is the part of an image's configuration that is read.
type configuration struct {
	platform
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// saved is an image in the list of "docker save".
type saved struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// describe finds out which layers the image has. Newer archives of "docker save" are
// OCI layouts as well, with a digest for everything.
func (im *Image) describe(o Options) error {
	switch {
	case im.src.has(layoutFile) && im.src.has(indexFile):
		return im.fromLayout(o)
	case im.src.has(savedFile):
		return im.fromSaved()
	}
	return fmt.Errorf("%w: neither %s nor %s is in it", ErrNoImage, indexFile, savedFile)
}

func (im *Image) fromSaved() error {
	var list []saved
	if _, err := document(im.src, savedFile, im.limits.Document, &list); err != nil {
		return err
	}
	switch len(list) {
	case 0:
		return fmt.Errorf("%w: %s lists none", ErrNoImage, savedFile)
	case 1:
	default:
		var names []string
		for _, s := range list {
			names = append(names, cmp.Or(strings.Join(s.RepoTags, ", "), s.Config))
		}
		return several(names)
	}
	of := list[0]
	if len(of.RepoTags) > 0 {
		im.Name = cut(of.RepoTags[0])
	}
	var c configuration
	digest, err := document(im.src, of.Config, im.limits.Document, &c)
	if err != nil {
		return err
	}
	im.Digest, im.OS, im.Arch = digest, cut(c.OS), cut(c.Arch)
	contents := im.contents(c, of.Config, len(of.Layers))
	for i, name := range of.Layers {
		im.layers = append(im.layers, &layer{name: name, diffID: contents[i]})
	}
	return nil
}

// contents are the digests of the layers without compression, "" where the image
// does not say.
func (im *Image) contents(c configuration, name string, layers int) []string {
	ids := c.RootFS.DiffIDs
	if len(ids) != layers {
		im.fail(name, fmt.Errorf("it has the digests of %d layers, and there are %d", len(ids), layers))
		return make([]string, layers)
	}
	for i := range ids {
		if _, err := blob(ids[i]); err != nil {
			im.fail(name, fmt.Errorf("layer %d: %w", i+1, err))
			ids[i] = ""
		}
	}
	return ids
}

func (im *Image) fromLayout(o Options) error {
	var top manifest
	if _, err := document(im.src, indexFile, im.limits.Document, &top); err != nil {
		return err
	}
	found := candidates{images: map[string]*candidate{}, seen: map[string]bool{}}
	if err := im.collect(top, nil, nil, 0, found); err != nil {
		return err
	}
	chosen, err := found.choose(cmp.Or(o.OS, "linux"), cmp.Or(o.Arch, runtime.GOARCH))
	if err != nil {
		return err
	}
	m, c := chosen.manifest, configuration{}
	if err := im.blob(m.Config.Digest, &c); err != nil {
		return err
	}
	im.Digest, im.OS, im.Arch = chosen.digest, cut(c.OS), cut(c.Arch)
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		im.Name = cmp.Or(im.Name, cut(chosen.annotations[key]))
	}
	contents := im.contents(c, "blobs/"+m.Config.Digest, len(m.Layers))
	for i, d := range m.Layers {
		name, err := blob(d.Digest)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
		im.layers = append(im.layers, &layer{name: name, digest: d.Digest, diffID: contents[i]})
	}
	return nil
}

// blob reads the document with the digest, and nothing else in its place.
func (im *Image) blob(digest string, to any) error {
	name, err := blob(digest)
	if err != nil {
		return err
	}
	is, err := document(im.src, name, im.limits.Document, to)
	if err == nil && is != digest {
		err = fmt.Errorf("%s: its content has the digest %s", name, is)
	}
	return err
}

// candidate is an image of the layout.
type candidate struct {
	digest      string
	manifest    manifest
	platform    *platform
	annotations map[string]string
}

// candidates are the images of a layout by digest, and what was looked at for them.
type candidates struct {
	images map[string]*candidate
	seen   map[string]bool
}

// What a layout may hold of images, and of indexes in one another.
const (
	maxIndexes   = 4
	maxManifests = 1000
)

// collect finds the images of an index, and of those in it. What the archive leaves
// out is passed over: it may hold the image of one platform of many.
func (im *Image) collect(of manifest, on *platform, annotations map[string]string, depth int, found candidates) error {
	if depth > maxIndexes {
		return fmt.Errorf("more than %d indexes of images in one another", maxIndexes)
	}
	for _, d := range of.Manifests {
		if len(found.seen) >= maxManifests {
			return fmt.Errorf("more than %d images", maxManifests)
		}
		if found.seen[d.Digest] || (d.Platform != nil && d.Platform.OS == "unknown") {
			continue // attestations about an image are said to run on unknown/unknown
		}
		name, err := blob(d.Digest)
		if err != nil {
			return err
		}
		if !im.src.has(name) {
			continue
		}
		found.seen[d.Digest] = true
		var m manifest
		if err := im.blob(d.Digest, &m); err != nil {
			return err
		}
		where, words := cmp.Or(d.Platform, on), maps.Clone(annotations)
		if words == nil {
			words = map[string]string{}
		}
		maps.Copy(words, d.Annotations)
		switch {
		case m.Manifests != nil && (m.Config != nil || m.Layers != nil):
			return fmt.Errorf("%s: it is an index and a manifest at once", name) // as in CVE-2021-41190
		case m.Manifests != nil:
			if err := im.collect(m, where, words, depth+1, found); err != nil {
				return err
			}
		case m.Config != nil:
			found.images[d.Digest] = &candidate{digest: d.Digest, manifest: m, platform: where, annotations: words}
		default:
			return fmt.Errorf("%s: it is neither an index nor a manifest", name)
		}
	}
	return nil
}

// choose returns the one image that there is, or the one for the platform.
func (c candidates) choose(goos, arch string) (*candidate, error) {
	list := make([]*candidate, 0, len(c.images))
	for _, digest := range slices.Sorted(maps.Keys(c.images)) {
		list = append(list, c.images[digest])
	}
	want := platform{OS: goos, Arch: arch}
	if len(list) > 1 {
		fit := slices.DeleteFunc(slices.Clone(list), func(one *candidate) bool {
			return one.platform != nil && *one.platform != want
		})
		if len(fit) > 0 {
			list = fit
		}
	}
	switch len(list) {
	case 0:
		return nil, fmt.Errorf("%w: %s lists none that is there", ErrNoImage, indexFile)
	case 1:
		return list[0], nil
	}
	var names []string
	for _, one := range list {
		name := cmp.Or(one.annotations["io.containerd.image.name"], one.digest)
		if one.platform != nil {
			name += " for " + one.platform.String()
		}
		names = append(names, name)
	}
	return nil, several(names)
}

// errSeveral is in errors about an archive of more than one image.
var errSeveral = errors.New("several images")

func several(names []string) error {
	const most = 10
	n := len(names)
	if n > most {
		names = append(names[:most:most], "...")
	}
	for i := range names {
		names[i] = cut(names[i])
	}
	return fmt.Errorf("%w: it holds %d (%s); save the one that is meant", errSeveral, n, strings.Join(names, "; "))
}
