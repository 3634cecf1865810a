package roster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestResolve(t *testing.T) {
	section := map[string]any{"path": "/var/log/a", "paths": []any{"/b", "/c"}, "empty": "", "number": 3.0}
	for _, c := range []struct {
		name  string
		given []string
		want  []string
	}{
		{"as it is", []string{"udp://0.0.0.0:514"}, []string{"udp://0.0.0.0:514"}},
		{"a value", []string{"config:path"}, []string{"/var/log/a"}},
		{"a list", []string{"config:paths", "/d"}, []string{"/b", "/c", "/d"}},
		{"nothing set", []string{"config:empty", "config:absent"}, nil},
		{"no text", []string{"config:number"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, resolve(c.given, section)); diff != "" {
				t.Errorf("resolve (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadableGrantsTheDirectoryOfAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "auth.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := readable([]string{file, filepath.Join(dir, "*.log"), dir, filepath.Join(dir, "no/such/file.log"), "relative.log", "/etc?"})
	want := []string{dir, filepath.Join(dir, "no/such")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("readable (-want +got):\n%s", diff)
	}
}

func TestExactGrantsWhatIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.cdx.json")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := exact([]string{file, dir + "/x[1]/", file, "relative", "/"})
	if diff := cmp.Diff([]string{file, dir + "/x[1]"}, got); diff != "" {
		t.Errorf("exact (-want +got):\n%s", diff)
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	made, err := writable(filepath.Join(dir, "out", "alerts.ndjson"), 0)
	if err != nil || made != filepath.Join(dir, "out") {
		t.Errorf("writable of a file in a new directory = %q, %v", made, err)
	}
	if info, err := os.Stat(made); err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the new directory: %v, %v: want it closed to others", info, err)
	}
	if got, err := writable(dir, 0); err != nil || got != dir {
		t.Errorf("writable of a directory = %q, %v", got, err)
	}
	if _, err := writable("/alerts.ndjson", 0); err == nil {
		t.Error("the root directory was granted")
	}
	if got, err := writable("relative", 0); err != nil || got != "" {
		t.Errorf("a relative path = %q, %v: want it ignored", got, err)
	}
	if os.Geteuid() == 0 {
		if _, err := writable(filepath.Join(dir, "x"), 61000); err == nil {
			t.Error("a directory of another user was granted without a word")
		}
	}
}

func TestValidateDescription(t *testing.T) {
	good := func() *pb.Description {
		return &pb.Description{Name: "parser-acme", Version: "1.0.0", Api: pb.API, Kinds: []string{"parser"}, Format: "acme"}
	}
	if err := validate(good()); err != nil {
		t.Fatalf("a sound description is refused: %v", err)
	}
	for name, spoil := range map[string]func(*pb.Description){
		"no name":             func(d *pb.Description) { d.Name = "" },
		"name with a slash":   func(d *pb.Description) { d.Name = "a/b" },
		"later API":           func(d *pb.Description) { d.Api = pb.API + 1 },
		"no API":              func(d *pb.Description) { d.Api = 0 },
		"no kind":             func(d *pb.Description) { d.Kinds = nil },
		"unknown kind":        func(d *pb.Description) { d.Kinds = []string{"oracle"} },
		"a kind twice":        func(d *pb.Description) { d.Kinds = []string{"parser", "parser"} },
		"parser, no format":   func(d *pb.Description) { d.Format = "" },
		"section of the host": func(d *pb.Description) { d.Section = "general" },
		"section with a dot":  func(d *pb.Description) { d.Section = "a.b" },
		"a broken key": func(d *pb.Description) {
			d.Section = "acme"
			d.Config = []*pb.ConfigField{{Key: "Bad Key", Type: pb.ConfigField_TYPE_STRING}}
		},
		"a long version": func(d *pb.Description) { d.Version = string(make([]byte, 65)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := good()
			spoil(d)
			if err := validate(d); err == nil {
				t.Errorf("description %v is accepted", d)
			}
		})
	}
}
