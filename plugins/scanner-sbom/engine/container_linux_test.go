package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

func client(t testing.TB, d *enginetest.Docker) *http.Client {
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// What a container has otherwise than its image is found: a package that was installed, in
// the database and by a file, one that was removed, a program, and the release of the
// distribution, on which packages rest that nobody touched.
func testContainer(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	id := d.Run("changed", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"],"HostConfig":{"Binds":["data:/data"],"Tmpfs":{"/scratch":""}}`)
	mounted := []inventory.Problem{
		{Path: "data", Code: inventory.CodeMounted, Reason: "a volume mount of data lies there; what it holds is not looked at"},
		{Path: "scratch", Code: inventory.CodeMounted, Reason: "a tmpfs mount lies there; what it holds is not looked at"},
	}
	r := b.scan(t, e, "changed")
	if diff := cmp.Diff(mounted, r.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	want(t, r, nil, nil)

	// A look at a container that nobody changed lists its changes, and reads nothing.
	b.front.Forget()
	if r = b.scan(t, e, "container:"+id); !r.Unchanged || len(b.read()) > 0 {
		t.Errorf("unchanged %v, and read: %q", r.Unchanged, b.read())
	}
	if calls := b.front.Calls(); len(calls) > 3 { // the container, its image, its changes
		t.Errorf("calls: %q", calls)
	}
	// Nor does one after something changed that no reader wants.
	d.In(id, "sh", "-c", "echo 1 >/srv/notes.md; echo 1 >/srv/app/x.css; mkdir /srv/empty")
	d.In(id, "sh", "-c", "echo 1 >/data/Cargo.lock")
	b.front.Forget()
	r = b.scan(t, e, "container:"+id)
	want(t, r, nil, nil)
	if got := slices.DeleteFunc(b.read(), func(c string) bool { return strings.HasSuffix(c, "/archive") }); len(got) > 0 {
		t.Errorf("read for nothing: %q", got)
	}

	d.Copy(id, "/", packed(t,
		file{"srv/new/Cargo.lock", crate("installed", "2.0.0"), 0},
		file{"var/lib/dpkg/status", dpkg("openssl", "3.0.11-1") + dpkg("curl", "8.0"), 0},
		file{"var/lib/dpkg/info/curl.list", "/.\n/usr/bin/curl\n", 0},
		file{"usr/bin/curl", "a program", 0o755},
	))
	d.In(id, "rm", "-r", "/srv/old")
	r = b.scan(t, e, "changed")
	installed := []string{"pkg:cargo/installed@2.0.0", "pkg:deb/debian/curl@8.0?arch=amd64&distro=12"}
	removed := []string{"pkg:cargo/remove@1.0.0", "pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64&distro=12"}
	want(t, r, installed, removed)
	if diff := cmp.Diff(mounted, r.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, p := range r.Packages {
		for _, at := range p.Locations {
			if own := at.Path == "var/lib/dpkg/status" || at.Path == "srv/new/Cargo.lock"; own != (at.Layer == "") {
				t.Errorf("%s in %s is of the layer %q", p.Name, at.Path, at.Layer)
			}
		}
	}
	for path, own := range map[string]bool{"usr/bin/curl": true, "/usr/bin/curl": true, "usr/bin/tool": false, "srv/old/Cargo.lock": true, "srv": false} {
		if r.Own(path) != own {
			t.Errorf("%s is the container's own: %v, want %v", path, !own, own)
		}
	}
	// Its files can be looked into, those of the image and its own.
	view, done, err := r.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"var/lib/dpkg/info/curl.list": "/.\n/usr/bin/curl\n", "var/lib/dpkg/info/openssl.list": "/.\n/usr/bin/openssl\n", "usr/bin/curl": "a program",
		"usr/bin/tool": program(t),
	} {
		f, err := view.Open(name)
		if err != nil {
			t.Errorf("open %s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		_ = f.Close()
	}
	if entries, err := view.ReadDir("var/lib/dpkg/info"); err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	if _, err := view.Stat("srv/old"); err == nil {
		t.Error("what was removed is there")
	}
	if err := done(); err != nil {
		t.Error(err)
	}

	// The same files are fetched to be compared, and nothing else is done.
	b.front.Forget()
	if r = b.scan(t, e, "changed"); !r.Unchanged {
		t.Error("it is said to have changed")
	}
	if diff := cmp.Diff([]string{"GET /containers/" + id + "/archive"}, b.read()); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	// A file that is changed in place once more is not taken for the one that it was.
	d.In(id, "sh", "-c", "/busybox sed -i s/2.0.0/3.0.0/ /srv/new/Cargo.lock; /busybox touch -t 202001010000 /srv/new/Cargo.lock")
	installed[0] = "pkg:cargo/installed@3.0.0"
	want(t, b.scan(t, e, "changed"), installed, removed)

	// What rests on a file that changed is read again, with content that was kept.
	d.Copy(id, "/alpine/etc", packed(t, file{"os-release", "ID=alpine\nNAME=Alpine\nVERSION_ID=3.19.1\n", 0}))
	r = b.scan(t, e, "changed")
	if i := slices.IndexFunc(r.Packages, func(p *inventory.Package) bool { return p.Name == "musl" }); i < 0 || r.Packages[i].Ecosystem != "Alpine:v3.19" {
		t.Errorf("musl after the upgrade: %v", purls(r.Packages))
	}
	// Paused and ended containers are looked at as well.
	d.Call(nil, http.MethodPost, "/containers/"+id+"/pause", "")
	if again := b.scan(t, e, "changed"); !cmp.Equal(r.Packages, again.Packages) || again.Container.State != "paused" {
		t.Error("the paused container is another")
	}
	d.Call(nil, http.MethodPost, "/containers/"+id+"/unpause", "")
	d.Call(nil, http.MethodPost, "/containers/"+id+"/kill", "")
	d.Wait(id, "not-running")
	if again := b.scan(t, e, "changed"); !cmp.Equal(r.Packages, again.Packages) || again.Container.Running() {
		t.Error("the container that ended is another")
	}
}

// A folder in place of which there is a file has nothing below it any more.
func testMany(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	id := d.Run("many", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	d.In(id, "sh", "-c", "rm -r /srv/old; echo 1 >/srv/old; rm -r /srv/app; ln -s /nowhere /srv/app; chmod 700 /var/lib")
	want(t, b.scan(t, e, "many"), nil, []string{"pkg:cargo/remove@1.0.0", "pkg:cargo/time@0.1.42"})
	// Of many files there is one export; what of the image is not changed is not read again.
	var files []file
	var wanted []string
	for i := range 100 {
		files = append(files, file{fmt.Sprintf("opt/%d/Cargo.lock", i), crate(fmt.Sprintf("c%02d", i), "1.0.0"), 0})
		wanted = append(wanted, fmt.Sprintf("pkg:cargo/c%02d@1.0.0", i))
	}
	d.Copy(id, "/", packed(t, files...))
	d.In(id, "ln", "/opt/1/Cargo.lock", "/opt/Cargo.lock")
	b.front.Forget()
	r := b.scan(t, e, "many")
	want(t, r, wanted, []string{"pkg:cargo/remove@1.0.0", "pkg:cargo/time@0.1.42"})
	if diff := cmp.Diff([]string{"GET /containers/" + id + "/export"}, b.read()); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(r.Packages, func(p *inventory.Package) bool { return p.Name == "c01" }); len(r.Packages[i].Locations) != 2 {
		t.Errorf("the hard link is not found: %v", r.Packages[i].Locations)
	}
	if again := b.scan(t, e, "many"); !again.Unchanged {
		t.Error("it is said to have changed")
	}
}

// A container that is removed while it is looked at, or before, is an error that says so.
func testRemoved(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	id := d.Create("short", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	d.Copy(id, "/", packed(t, file{"a/Cargo.lock", crate("a", "1.0.0"), 0}, file{"b/Cargo.lock", crate("b", "1.0.0"), 0}))
	how := b.how()
	how.Progress = func(text string) {
		if strings.Contains(text, "changed file 2") {
			_ = d.Try(http.MethodDelete, "/containers/"+id+"?force=1", "")
		}
	}
	for _, when := range []string{"while", "after"} {
		_, err := e.Scan(t.Context(), "container:"+id, how)
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: %v", when, err)
		}
	}
	// The image may go before its container.
	d.Create("orphan", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	before := b.scan(t, e, "orphan")
	made := d.Create("base", `"Image":"busybox:local"`)
	d.Copy(made, "/", packed(t, file{"a/Cargo.lock", crate("a", "1.0.0"), 0}))
	var img struct{ ID string }
	d.Call(&img, http.MethodPost, "/commit?container="+made+"&repo=gone&tag=1", "")
	lone := d.Create("lone", `"Image":"gone:1"`)
	d.Call(nil, http.MethodDelete, "/images/gone:1?force=1", "")
	r := b.scan(t, e, "container:"+lone)
	if got := purls(r.Packages); !slices.Contains(got, "pkg:cargo/a@1.0.0") {
		t.Errorf("without a name: %q", got)
	}
	if len(before.Packages) == 0 {
		t.Error("the container has no packages")
	}
}

// Names that fit several are refused with what they fit, and a prefix decides.
func testNames(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	d.Call(nil, http.MethodPost, "/images/acme:1/tag?repo=twice&tag=latest", "")
	id := d.Create("twice", `"Image":"busybox:local"`)
	both := b.scan(t, e, "twice")
	if both.Container == nil || both.Container.ID != id || len(both.Notes) != 1 || !strings.Contains(both.Notes[0], "image:twice is the image") {
		t.Errorf("of both: %+v %q", both.Container, both.Notes)
	}
	if r := b.scan(t, e, "image:twice"); r.Container != nil || len(r.Notes) > 0 {
		t.Errorf("the image: %+v %q", r.Container, r.Notes)
	}
	if r := b.scan(t, e, "container:twice"); r.Container == nil || len(r.Notes) > 0 {
		t.Errorf("the container: %+v %q", r.Container, r.Notes)
	}
	d.Call(nil, http.MethodPost, "/images/busybox:local/tag?repo=registry.example.com:5000/team/tools&tag=2", "")
	if r := b.scan(t, e, "registry.example.com:5000/team/tools:2"); r.Image.ID != both.Image.ID {
		t.Errorf("the image of a registry: %+v", r.Image)
	}
	for target, words := range map[string][]string{
		"container:twic": {"no container twic", "container:twice"},
		"image:nothing":  {"no image nothing"}, "acm": {"no container and no image acm", "image:acme:1"}, "container:acme:1": {"no container acme:1"},
		"../etc": {"no name"}, "a b": {"no name"},
	} {
		_, err := e.Scan(t.Context(), target, b.how())
		if err == nil {
			t.Errorf("%s: no error", target)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want %q in it", target, err, word)
			}
		}
	}
}

// What a container does to be costly is bounded, and told.
func testHostile(t *testing.T, b *bench) {
	d := b.For(t)
	e := b.engine(t)
	id := d.Run("hostile", `"Image":"acme:1","Cmd":["/busybox","sleep","3600"]`)
	d.In(id, "sh", "-c", `
		/busybox truncate -s 10G /srv/huge.jar; /busybox truncate -s 10G /usr/bin/huge; /busybox chmod 755 /usr/bin/huge
		/busybox truncate -s 1G /usr/bin/zeros; /busybox chmod 755 /usr/bin/zeros
		/busybox ln -s b /srv/a; /busybox ln -s a /srv/b; /busybox mkdir -p /l; /busybox ln -s /l /l/Cargo.lock
		/busybox mkdir "/srv/new
line"; /busybox cp /srv/app/Cargo.lock "/srv/new
line/Cargo.lock"; /busybox mkfifo /srv/yarn.lock
		/busybox mkdir -p /opt; i=0; while [ $i -lt 2 ]; do /busybox mkdir /opt/d$i; (cd /opt/d$i; for j in $(/busybox seq 0 2); do /busybox touch $(/busybox seq $((j*2000)) $((j*2000+1999)) | /busybox sed s/$/.md/); done); i=$((i+1)); done`)
	b.front.Forget()
	r := b.scan(t, e, "hostile")
	want(t, r, nil, nil)
	codes := map[string]string{}
	for _, p := range r.Problems {
		codes[p.Path] = p.Code
	}
	if diff := cmp.Diff(map[string]string{
		"srv/huge.jar": inventory.CodeTooLarge, "usr/bin/huge": inventory.CodeTooLarge, "srv/yarn.lock": inventory.CodeUnreadable,
		"srv/a": inventory.CodeUnreadable, "srv/b": inventory.CodeUnreadable, // Docker follows them in circles
	}, codes); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if r.Stats.Files < 12_000 {
		t.Errorf("%d files: the container did not do what it should", r.Stats.Files)
	}
	at := slices.IndexFunc(r.Packages, func(p *inventory.Package) bool { return p.Name == "time" })
	if !slices.ContainsFunc(r.Packages[at].Locations, func(l inventory.Location) bool { return l.Path == "srv/new\nline/Cargo.lock" }) {
		t.Errorf("the file in a folder with a line feed in its name is not found: %v", r.Packages[at].Locations)
	}
}
