package npm

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"path"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/purl"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// ecosystem is the OSV schema's name.
const ecosystem = "npm"

// Bounds of a lockfile. maxWork is how many bytes of paths are looked up to find what
// packages depend on; each dependency costs those of all folders above its package.
const (
	maxPackages = 1_000_000
	maxWork     = 1 << 28
)

// Errors of Parse.
var (
	ErrSyntax = errors.New("it is not JSON")
	ErrMany   = errors.New("it has more than a million packages")
	ErrWork   = errors.New("its packages lie too deep in one another")
)

// entry is one package as it is written.
type entry struct {
	folder, name string
	value        gjson.Result
	ref          string
}

// Parse reads the text of a lockfile. ok is false when it has the form 1.
func Parse(text string) (packages []*inventory.Package, ok bool, err error) {
	if !gjson.Valid(text) {
		return nil, false, ErrSyntax
	}
	list := gjson.Get(text, "packages")
	if !list.IsObject() {
		return nil, false, nil
	}
	var entries []entry
	byFolder := map[string]int{}
	list.ForEach(func(key, value gjson.Result) bool {
		folder := key.String()
		if !value.IsObject() {
			return true
		}
		name := value.Get("name").String()
		if name == "" {
			name = nameOf(folder)
		}
		e := entry{folder: folder, name: name, value: value}
		switch {
		case value.Get("link").Bool():
			// The folder is a link to another that has an entry of its own.
			e.folder = value.Get("resolved").String()
		case folder != "" && name != "":
			e.ref = Ref(name, value.Get("version").String())
		}
		byFolder[folder] = len(entries)
		entries = append(entries, e)
		return len(entries) <= maxPackages
	})
	if len(entries) > maxPackages {
		return nil, true, ErrMany
	}
	at, line, work := 0, 1, maxWork
	for i := range entries {
		e := &entries[i]
		if next := e.value.Index; next > at {
			line += strings.Count(text[at:next], "\n")
			at = next
		}
		if e.ref == "" {
			continue
		}
		p := &inventory.Package{
			Name: e.name, Version: e.value.Get("version").String(), Ecosystem: ecosystem, PURL: e.ref, State: inventory.Locked,
			Development: e.value.Get("dev").Bool(), Licenses: licenses(e.value.Get("license")), Hashes: hashes(e.value.Get("integrity").String()),
			Locations: []inventory.Location{{Line: line}},
		}
		for _, field := range []string{"dependencies", "optionalDependencies", "peerDependencies"} {
			e.value.Get(field).ForEach(func(need, _ gjson.Result) bool {
				if to := resolve(byFolder, entries, e.folder, need.String(), &work); to != "" {
					p.DependsOn = append(p.DependsOn, to)
				}
				return work >= 0
			})
		}
		if work < 0 {
			return packages, true, ErrWork
		}
		packages = append(packages, p)
	}
	return packages, true, nil
}

// Ref returns the package URL of a package.
func Ref(name, version string) string {
	b := append(make([]byte, 0, len("pkg:npm/%40@")+len(name)+len(version)), "pkg:npm/"...)
	if scope, rest, ok := strings.Cut(name, "/"); ok && len(scope) > 1 && scope[0] == '@' && rest != "" && !strings.Contains(rest, "/") {
		b = append(purl.AppendEscaped(b, scope), '/')
		name = rest
	}
	b = purl.AppendEscaped(b, name)
	if version != "" {
		b = purl.AppendEscaped(append(b, '@'), version)
	}
	return string(b)
}

// nameOf returns the name of the package in a folder: its last element, with the
// scope before it.
func nameOf(folder string) string {
	dir, name := path.Split(folder)
	if scope := path.Base(dir); strings.HasPrefix(scope, "@") {
		return scope + "/" + name
	}
	return name
}

// modules is the folder that holds what the package beside it needs.
const modules = "node_modules"

// resolve returns what a package in a folder gets for a name: what lies in the
// node_modules beside it, or beside the nearest folder above, as in Node's
// https://nodejs.org/api/modules.html#loading-from-node_modules-folders. It takes what
// it costs off work, and gives up when nothing is left.
func resolve(byFolder map[string]int, entries []entry, folder, need string, work *int) string {
	for dir := folder; ; dir = parent(dir) {
		if *work -= len(dir) + len(need); *work < 0 {
			return ""
		}
		if i, ok := byFolder[path.Join(dir, modules, need)]; ok {
			if entries[i].ref == "" { // a link
				i = byFolder[entries[i].folder]
			}
			return entries[i].ref
		}
		if dir == "" {
			return ""
		}
	}
}

// parent returns the next folder above that may have a node_modules.
func parent(dir string) string {
	for {
		if dir = path.Dir(dir); dir == "." || dir == "/" {
			return ""
		}
		if path.Base(dir) != modules {
			return dir
		}
	}
}

// licenses reads the value of "license", which is a string; old packages have an
// object or a list.
func licenses(v gjson.Result) []string {
	switch {
	case v.Type == gjson.String && v.Str != "":
		return []string{v.Str}
	case v.IsObject():
		return licenses(v.Get("type"))
	case v.IsArray():
		var out []string
		v.ForEach(func(_, one gjson.Result) bool {
			if !one.IsArray() {
				out = append(out, licenses(one)...)
			}
			return true
		})
		return out
	}
	return nil
}

// hashes turns the value of "integrity", as "sha512-" with base64, into hexadecimal.
// See https://www.w3.org/TR/sri/.
func hashes(integrity string) (out []string) {
	for one := range strings.FieldsSeq(integrity) {
		algorithm, value, ok := strings.Cut(one, "-")
		value, _, _ = strings.Cut(value, "?")
		sum, err := base64.StdEncoding.DecodeString(value)
		if !ok || err != nil || size[algorithm] != len(sum) {
			continue
		}
		out = append(out, algorithm+":"+hex.EncodeToString(sum))
	}
	return out
}

// size is how many bytes the sums of an algorithm have.
var size = map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
