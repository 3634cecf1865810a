package engine_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

func dpkg(name, version string) string {
	return fmt.Sprintf("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n", name, version)
}

const apkDatabase = "C:Q1eVpkasfqZAukAXFYbgwt4xAMZWU=\nP:musl\nV:1.2.4-r2\nA:x86_64\no:musl\nL:MIT\n\n"

// program returns a program of Go's with the modules that it was built of.
func program(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/runc", "/usr/bin/runc"} {
		if text, err := os.ReadFile(path); err == nil {
			return string(text)
		}
	}
	t.Fatal("there is no runc beside dockerd")
	return ""
}

// bench is a dockerd with an Engine behind what counts its calls.
type bench struct {
	*enginetest.Docker
	front   *enginetest.Front
	readers []*extract.Reader
	dir     string
}

func (b *bench) engine(t testing.TB) *engine.Engine {
	t.Helper()
	e := engine.New(engine.Config{Socket: b.front.Socket, Dir: b.dir})
	t.Cleanup(e.Close)
	return e
}

func (b *bench) how() engine.Options { return engine.Options{Scan: scan.Config{Readers: b.readers}} }

func (b *bench) scan(t testing.TB, e *engine.Engine, target string) *engine.Result {
	t.Helper()
	r, err := e.Scan(t.Context(), target, b.how())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read are the calls of contents since the last Forget.
func (b *bench) read() []string {
	return slices.DeleteFunc(b.front.Calls(), func(c string) bool {
		return !strings.HasSuffix(c, "/get") && !strings.HasSuffix(c, "/archive") && !strings.HasSuffix(c, "/export")
	})
}

func TestDocker(t *testing.T) {
	d := enginetest.Start(t)
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Docker: d, front: d.Front(t, "1.24", "1.41"), readers: readers, dir: t.TempDir()}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	b.Import("acme", "1", packed(t,
		file{"busybox", string(busybox), 0o755},
		file{"etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n", 0},
		file{"var/lib/dpkg/status", dpkg("openssl", "3.0.11-1") + dpkg("zlib1g", "1:1.2.13"), 0},
		file{"var/lib/dpkg/info/openssl.list", "/.\n/usr/bin/openssl\n", 0},
		file{"alpine/etc/os-release", "ID=alpine\nVERSION_ID=3.18.4\n", 0},
		file{"alpine/lib/apk/db/installed", apkDatabase, 0},
		file{"srv/app/Cargo.lock", crate("time", "0.1.42"), 0},
		file{"srv/old/Cargo.lock", crate("remove", "1.0.0"), 0},
		file{"usr/bin/tool", program(t), 0o755},
	))
	t.Run("targets", func(t *testing.T) { testTargets(t, b) })
	t.Run("container", func(t *testing.T) { testContainer(t, b) })
	t.Run("many", func(t *testing.T) { testMany(t, b) })
	t.Run("hostile", func(t *testing.T) { testHostile(t, b) })
	t.Run("removed", func(t *testing.T) { testRemoved(t, b) })
	t.Run("names", func(t *testing.T) { testNames(t, b) })
	t.Run("events", func(t *testing.T) { testEvents(t, b) })
}

// One image has one inventory: out of its archive, by its name, id and digest, and as the
// container that nobody changed. It is read once.
func testTargets(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	saved := filepath.Join(t.TempDir(), "acme.tar")
	archive(t, d, "acme:1", saved)
	im, err := image.Open(t.Context(), saved, image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = im.Close() }()
	v, _, err := scan.Image(t.Context(), im, b.how().Scan)
	if err != nil {
		t.Fatal(err)
	}
	want := v.Packages()
	for _, p := range []string{"pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=", "pkg:deb/debian/zlib1g@", "pkg:apk/alpine/musl@1.2.4-r2", "pkg:cargo/time@0.1.42", "pkg:golang/go@"} {
		if !slices.ContainsFunc(purls(want), func(is string) bool { return strings.HasPrefix(is, p) }) {
			t.Errorf("the archive has no package %s: %q", p, purls(want))
		}
	}
	b.front.Forget()
	id := d.Run("same", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	other := d.Create("twin", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	first := b.scan(t, e, "acme:1")
	for _, target := range []string{"acme:1", "image:acme:1", first.Image.ID, first.Image.ID[:19], first.Image.ID[7:19], "same", "container:same", id, id[:12], "container:" + id, "twin"} {
		r := b.scan(t, e, target)
		if diff := cmp.Diff(want, r.Packages); diff != "" {
			t.Errorf("%s (-archive +engine):\n%s", target, diff)
		}
		if len(r.Problems) > 0 {
			t.Errorf("%s: problems %v", target, r.Problems)
		}
		switch isContainer := strings.HasSuffix(target, "same") || strings.Contains(target, id[:12]) || target == "twin"; {
		case isContainer != (r.Container != nil):
			t.Errorf("%s: container %v", target, r.Container)
		case isContainer && (r.Container.ID != id && r.Container.ID != other || r.Container.Running() != (r.Container.ID == id) || r.Container.Image != "acme:1"):
			t.Errorf("%s: container %+v", target, r.Container)
		}
	}
	if got := b.read(); len(got) != 1 || !strings.HasPrefix(got[0], "GET /images/") {
		t.Errorf("what was read: %q, want the image, once", got)
	}
	// Another process, as after a restart, reads nothing.
	b.front.Forget()
	again := b.engine(t)
	for _, target := range []string{"twin", "acme:1"} {
		if diff := cmp.Diff(want, b.scan(t, again, target).Packages); diff != "" {
			t.Errorf("%s, again (-archive +engine):\n%s", target, diff)
		}
	}
	if got := b.read(); len(got) > 0 {
		t.Errorf("read again: %q", got)
	}
	// What is remembered holds the files that are looked up later.
	view, done, err := b.scan(t, again, "acme:1").View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := view.Open("var/lib/dpkg/info/openssl.list")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "/.\n/usr/bin/openssl\n" {
		t.Errorf("the list of files: %q, %v", text, err)
	}
	if info, err := view.Stat("usr/bin/tool"); err != nil || info.Size() != int64(len(program(t))) {
		t.Errorf("a program: %v, %v", info, err)
	}
	// Another is read out of the archive when it is asked for.
	if tool, err := view.Open("usr/bin/tool"); err != nil {
		t.Error(err)
	} else if text, err := io.ReadAll(tool); err != nil || string(text) != program(t) {
		t.Errorf("the program: %d bytes, %v", len(text), err)
	}
	if err := errors.Join(f.Close(), done()); err != nil {
		t.Error(err)
	}
	b.front.Forget()
	// One that is damaged is read anew.
	kept, err := filepath.Glob(filepath.Join(b.dir, "images", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	text, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(kept[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.scan(t, b.engine(t), "acme:1").Packages); diff != "" {
		t.Errorf("after damage (-archive +engine):\n%s", diff)
	}
	if got := b.read(); len(got) != 1 {
		t.Errorf("read after damage: %q", got)
	}
}

// archive saves an image.
func archive(t *testing.T, d *enginetest.Docker, name, to string) {
	t.Helper()
	c := client(t, d)
	resp, err := c.Get("http://docker/images/" + name + "/get")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("save %s: %s, %v", name, resp.Status, err)
	}
}
