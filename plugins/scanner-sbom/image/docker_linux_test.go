package image_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// An image that Docker saved holds the files that its containers see, and they are of
// the layers that Docker names.
func TestDocker(t *testing.T) {
	d := enginetest.Start(t)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	defer client.CloseIdleConnections()
	get := func(path string) io.Reader {
		t.Helper()
		resp, err := client.Get("http://docker/v1.41" + path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
		return resp.Body
	}
	// commit makes an image of what a script does to another.
	commit := func(from, tag, script string) {
		t.Helper()
		id := d.Run("make-"+tag, `"Image": "`+from+`", "Cmd": ["/busybox", "sh", "-c", "`+script+`"]`)
		d.Wait(id, "not-running")
		d.Call(nil, http.MethodPost, "/commit?container="+id+"&repo=acme&tag="+tag, "")
	}
	commit("busybox:local", "1", "alias b=/busybox; /busybox mkdir -p /d/e /o/p /r; echo 1 >/d/a; echo 1 >/d/e/b; /busybox ln /d/a /d/hard; echo 1 >/o/p/x; echo 1 >/o/y; echo 1 >/r/gone; echo 1 >/f; /busybox ln -s d/a /link")
	commit("acme:1", "2", "/busybox rm /d/a /r/gone; echo 2 >/d/c; /busybox rm -r /o; /busybox mkdir /o; echo 2 >/o/z; /busybox rm /f; /busybox mkdir /f; echo 2 >/f/in")

	var made struct {
		RootFS struct{ Layers []string }
	}
	d.Call(&made, http.MethodGet, "/images/acme:2/json", "")
	saved, err := io.ReadAll(get("/images/acme:2/get"))
	if err != nil {
		t.Fatal(err)
	}
	want, own := []string{}, []string{".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "dev/console"}
	r := tar.NewReader(get("/containers/" + d.Create("seen", `"Image": "acme:2"`) + "/export"))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || slices.Contains(own, h.Name) {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, h.Name+"="+string(text))
	}
	slices.Sort(want)
	im := open(t, onDisk(t, saved), image.Options{})
	got := slices.DeleteFunc(files(t, im), func(f string) bool {
		name, _, _ := strings.Cut(f, "=")
		return slices.Contains(own, name)
	})
	check(t, "files", got, want)
	check(t, "problems", codes(im), []string{})
	if len(want) != 6 { // busybox and five others
		t.Errorf("the container has %d files", len(want))
	}
	if !strings.HasSuffix(im.Name, "acme:2") {
		t.Errorf("name %q", im.Name)
	}
	layers := map[string]string{}
	if _, err := im.Walk(t.Context(), image.Config{Visit: func(f *image.File) { layers[f.Path] = f.Layer() }}); err != nil {
		t.Fatal(err)
	}
	for path, layer := range map[string]int{"busybox": 0, "d/hard": 1, "d/e/b": 1, "d/c": 2, "f/in": 2} {
		if layers[path] != made.RootFS.Layers[layer] {
			t.Errorf("%s: got layer %q, want %q", path, layers[path], made.RootFS.Layers[layer])
		}
	}
}
