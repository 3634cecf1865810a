package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// fake is a Docker that answers as it is told, for what a real one does not do when one
// wants it. Each path has its answer; others are 404.
type fake struct {
	answers map[string]http.HandlerFunc

	mu    sync.Mutex
	calls []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls = append(f.calls, r.URL.Path)
	f.mu.Unlock()
	if answer := f.answers[r.URL.Path]; answer != nil {
		answer(w, r)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"message":"No such thing"}`)
}

func (f *fake) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, call := range f.calls {
		if call == path {
			n++
		}
	}
	return n
}

// value answers with JSON.
func value(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
}

func text(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

type dict = map[string]any

func serve(t *testing.T, f *fake) *engine.Engine {
	t.Helper()
	e := engine.New(engine.Config{Socket: listen(t, f), Dir: t.TempDir()})
	t.Cleanup(e.Close)
	return e
}

// listen serves a fake until the test ends, and returns its socket.
func listen(t *testing.T, f *fake) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fke") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return l.Addr().String()
}

func options(t *testing.T) engine.Options {
	t.Helper()
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	return engine.Options{Scan: scan.Config{Readers: readers}}
}

var id = strings.Repeat("c", 64)

const imageID = "sha256:" + "1111111111111111111111111111111111111111111111111111111111111111"

// machine has one container of one image, with the files of a layer.
func machine(t *testing.T, layer *bytes.Buffer, changes any) *fake {
	t.Helper()
	saved := packed(t, file{"l.tar", layer.String(), 0}, file{"c.json", `{"os":"linux","architecture":"amd64"}`, 0},
		file{"manifest.json", `[{"Config":"c.json","RepoTags":["acme:1"],"Layers":["l.tar"]}]`, 0})
	about := dict{"Id": imageID, "RepoTags": []string{"acme:1"}, "Os": "linux", "Architecture": "amd64", "Size": layer.Len()}
	return &fake{answers: map[string]http.HandlerFunc{
		"/containers/json":               value([]dict{{"Id": id, "Names": []string{"/web"}, "Image": "acme:1", "ImageID": imageID, "State": "running"}}),
		"/containers/" + id + "/json":    value(dict{"Id": id, "Name": "/web", "Image": imageID, "State": dict{"Status": "running", "Pid": 7, "StartedAt": "2026-01-02T03:04:05Z"}, "Config": dict{"Image": "acme:1"}}),
		"/containers/" + id + "/changes": value(changes),
		"/images/json":                   value([]dict{about}),
		"/images/" + imageID + "/json":   value(about),
		"/images/acme:1/json":            value(about),
		"/images/" + imageID + "/get":    text(saved.Bytes()),
	}}
}

func change(path string, kind int) dict { return dict{"Path": path, "Kind": kind} }

// A name that Docker cannot tell, since it is not UTF-8, is found in an export.
func TestNameless(t *testing.T) {
	f := machine(t, packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}), []dict{change("/b\ufffd", 1), change("/b\ufffd/Cargo.lock", 1)})
	f.answers["/containers/"+id+"/export"] = text(packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}, file{"b\xff/Cargo.lock", crate("hidden", "1.0.0"), 0}).Bytes())
	r, err := serve(t, f).Scan(t.Context(), "web", options(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pkg:cargo/hidden@1.0.0", "pkg:cargo/old@1.0.0"}, purls(r.Packages)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A list of changes without end is not read to its end: the files are, and what cannot be
// compared with the image is not taken for its own.
func TestManyChanges(t *testing.T) {
	f := machine(t, packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}), nil)
	written := make(chan int, 1)
	f.answers["/containers/"+id+"/changes"] = func(w http.ResponseWriter, r *http.Request) {
		out, n := io.Writer(w), 0
		_, err := io.WriteString(out, "[")
		for ; err == nil && n < 50_000_000; n++ {
			_, err = fmt.Fprintf(out, `{"Path":"/f%d.md","Kind":1},`, n)
		}
		written <- n
	}
	f.answers["/containers/"+id+"/export"] = text(packed(t, file{"b/Cargo.lock", crate("new", "1.0.0"), 0}).Bytes())
	e := engine.New(engine.Config{Socket: listen(t, f), Dir: t.TempDir(), Changes: 1000})
	defer e.Close()
	r, err := e.Scan(t.Context(), "web", options(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := <-written; n > 1_000_000 {
		t.Errorf("%d changes were written, and read", n)
	}
	want(t, r, []string{"pkg:cargo/new@1.0.0"}, []string{"pkg:cargo/old@1.0.0"})
}

// An export without end is left where a container may have no more, and that is told.
func TestEndless(t *testing.T) {
	var changes []dict
	for i := range 300 {
		changes = append(changes, change(fmt.Sprintf("/d%d/Cargo.lock", i), 1))
	}
	f := machine(t, packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}), changes)
	f.answers["/containers/"+id+"/export"] = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(packed(t, file{"d0/Cargo.lock", crate("new", "1.0.0"), 0}).Bytes()[:1024])
		archive, zeros := tar.NewWriter(w), make([]byte, 1<<20)
		if err := archive.WriteHeader(&tar.Header{Name: "huge", Size: 1 << 40, Mode: 0o644}); err != nil {
			return
		}
		for err := error(nil); err == nil; {
			_, err = archive.Write(zeros)
		}
	}
	e := engine.New(engine.Config{Socket: listen(t, f), Dir: t.TempDir(), Own: 4 << 20})
	defer e.Close()
	r, err := e.Scan(t.Context(), "web", options(t))
	if err != nil {
		t.Fatal(err)
	}
	want(t, r, []string{"pkg:cargo/new@1.0.0"}, nil)
	if !slices.ContainsFunc(r.Problems, func(p inventory.Problem) bool { return p.Path == "." && p.Code == inventory.CodeTooLarge }) {
		t.Errorf("problems: %v", r.Problems)
	}
}

// Ids that begin alike are told apart, or refused with what they are of.
func TestAmbiguous(t *testing.T) {
	f := machine(t, packed(t), nil)
	other := strings.Repeat("c", 63) + "d"
	f.answers["/containers/json"] = value([]dict{{"Id": id, "Names": []string{"/web"}}, {"Id": other, "Names": []string{"/front/alias", "/web-2"}}})
	f.answers["/containers/"+other+"/json"] = value(dict{"Id": other, "Name": "/web-2", "Image": "", "Config": dict{}})
	f.answers["/containers/"+other+"/export"] = text(packed(t).Bytes())
	f.answers["/containers/"+other+"/changes"] = value(nil)
	f.answers["/images/json"] = value([]dict{{"Id": "sha256:ab" + strings.Repeat("0", 62), "RepoTags": []string{"a:1"}}, {"Id": "sha256:ab" + strings.Repeat("1", 62), "RepoTags": []string{"b:1"}}})
	e := serve(t, f)
	for target, words := range map[string][]string{
		"cccccc": {"container:cccccccccccc (web)", "container:cccccccccccc (web-2)"}, "ab": {"image:ab0000000000 (a:1)", "image:ab1111111111 (b:1)"},
	} {
		_, err := e.Scan(t.Context(), target, options(t))
		if !errors.Is(err, engine.ErrAmbiguous) {
			t.Fatalf("%s: %v", target, err)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want %q in it", target, err, word)
			}
		}
	}
	for target, want := range map[string]string{"web": id, "web-2": other, other: other, id: id} {
		r, err := e.Scan(t.Context(), target, options(t))
		if err != nil || r.Container.ID != want {
			t.Errorf("%s: %+v, %v", target, r, err)
		}
	}
}

// An image for another platform than the one that is asked for is refused, and one that is
// cut off is no image, which is tried again the next time.
func TestImages(t *testing.T) {
	f := machine(t, packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}), nil)
	e := serve(t, f)
	how := options(t)
	how.Platform = "linux/arm64"
	if _, err := e.Scan(t.Context(), "acme:1", how); err == nil || !strings.Contains(err.Error(), "it is for linux/amd64, and not for linux/arm64") {
		t.Errorf("for another platform: %v", err)
	}
	how.Platform = "linux/amd64"
	if r, err := e.Scan(t.Context(), "acme:1", how); err != nil || len(r.Packages) != 1 {
		t.Errorf("for this platform: %v, %v", r, err)
	}
	whole := f.answers["/images/"+imageID+"/get"]
	f.answers["/images/"+imageID+"/get"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write(make([]byte, 1024))
	}
	if _, err := e.Scan(t.Context(), "acme:1", options(t)); err == nil || !strings.Contains(err.Error(), "read the image acme:1") {
		t.Errorf("cut off: %v", err)
	}
	f.answers["/images/"+imageID+"/get"] = whole
	if r, err := e.Scan(t.Context(), "acme:1", options(t)); err != nil || len(r.Packages) != 1 {
		t.Errorf("whole again: %v, %v", r, err)
	}
	// Many who ask at once have it read once.
	before := f.asked("/images/" + imageID + "/get")
	other := options(t)
	other.Scan.Skip = []string{"nothing"} // another way to scan it
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if r, err := e.Scan(t.Context(), "web", other); err != nil || len(r.Packages) != 1 {
				t.Errorf("at once: %v, %v", r, err)
			}
		})
	}
	all.Wait()
	if n := f.asked("/images/"+imageID+"/get") - before; n != 1 {
		t.Errorf("the image was read %d times", n)
	}
}

// What is remembered has bounds, and what was used least recently goes.
func TestBounds(t *testing.T) {
	f := machine(t, packed(t, file{"a/Cargo.lock", crate("old", "1.0.0"), 0}), nil)
	socket, dir := listen(t, f), t.TempDir()
	small := engine.New(engine.Config{Socket: socket, Dir: dir, Images: 2})
	defer small.Close()
	how := options(t)
	for i := range 4 {
		how.Scan.Skip = []string{fmt.Sprint(i)}
		if _, err := small.Scan(t.Context(), "acme:1", how); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%v are kept, %v; want 2", entries, err)
	}
	none := engine.New(engine.Config{Socket: socket, Dir: filepath.Join(dir, "none"), Forget: true})
	defer none.Close()
	if r, err := none.Scan(t.Context(), "web", how); err != nil || len(r.Packages) != 1 {
		t.Errorf("without memory: %v, %v", r, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "none", "images")); err != nil || len(entries) > 0 {
		t.Errorf("kept although it may not: %v, %v", entries, err)
	}
}

// Docker may not be there, and a scan may be given up.
func TestUnreachable(t *testing.T) {
	e := engine.New(engine.Config{Socket: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()})
	defer e.Close()
	if _, err := e.Scan(t.Context(), "web", options(t)); !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("without Docker: %v", err)
	}
	if err := e.Ping(t.Context()); !errors.Is(err, engine.ErrUnreachable) {
		t.Errorf("without Docker: %v", err)
	}
	unasked := engine.New(engine.Config{Dir: t.TempDir()})
	defer unasked.Close()
	if _, err := unasked.Scan(t.Context(), "web", options(t)); !errors.Is(err, engine.ErrUnreachable) || !strings.Contains(err.Error(), "permission") {
		t.Errorf("without a permission: %v", err)
	}
	f := machine(t, packed(t), nil)
	ctx, cancel := context.WithCancel(t.Context())
	f.answers["/images/"+imageID+"/get"] = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}
	if _, err := serve(t, f).Scan(ctx, "web", options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestIsName(t *testing.T) {
	for target, want := range map[string]bool{
		"web": true, "acme/app:1": true, "registry:5000/a/b@sha256:0011": true, "container:web": true, "image:a": true, "0123456789ab": true,
		"./web": false, "../a": false, "/etc": false, "": false, "a b": false, "a\n": false, "container:": false, "a//b": false, "a/../b": false, "-o": false,
		strings.Repeat("a", 600): false,
	} {
		if got := engine.IsName(target); got != want {
			t.Errorf("%q: %v, want %v", target, got, want)
		}
	}
}
