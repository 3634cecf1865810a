package extract_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// readAs has the reader of a name read a file with this content.
func readAs(t *testing.T, reader, name string, content []byte) ([]*inventory.Package, error) {
	t.Helper()
	all, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(r *extract.Reader) bool { return r.Name == reader })
	if i < 0 {
		t.Fatalf("there is no reader %q", reader)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	f, err := root.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return all[i].Read(context.Background(), extract.Input{Path: name, Info: info, Body: f, View: tree.NewView(root)})
}

// What stands deep in one another would have the parsers run out of stack, which ends
// the process: that this test comes to its end is what it shows.
func TestDeepNestingIsRefused(t *testing.T) {
	const n = 7 << 20
	for _, c := range []struct{ reader, name, content string }{
		{"package-lock", "package-lock.json", strings.Repeat("[", n)},
		{"package-lock", "package-lock.json", `{"lockfileVersion":1,"a":"]\"]","b":` + strings.Repeat(`["]",`, n/5)},
		{"poetry-lock", "poetry.lock", "a = " + strings.Repeat("[", n)},
		{"poetry-lock", "poetry.lock", "a = " + strings.Repeat("['''\n]''', \"]\", ']', # ]\n", n/24)},
		{"uv-lock", "uv.lock", "a = " + strings.Repeat("{a=", n/3)},
		{"pdm-lock", "pdm.lock", "[a" + strings.Repeat(".a", n/2) + "]\n"},
		{"cargo-lock", "Cargo.lock", "a = " + strings.Repeat("[", n)},
		{"maven-pom", "pom.xml", strings.Repeat("<a><!--</a>--><![CDATA[</a>]]><b x='</a>'/>", n/43)},
	} {
		packages, err := readAs(t, c.reader, c.name, []byte(c.content))
		if err == nil || !strings.Contains(err.Error(), "too deep") || len(packages) > 0 {
			t.Errorf("%s, %.40q...: %d packages, error %v", c.reader, c.content, len(packages), err)
		}
	}
}

// A POM need not be UTF-8, and what does not nest is read whatever its quotes are.
func TestOrdinaryFilesAreNotRefused(t *testing.T) {
	for _, c := range []struct {
		reader, name, content string
		want                  int
	}{
		{
			"maven-pom", "pom.xml", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><project><name>caf\xe9</name>" + strings.Repeat("<!-- <x> -->", 1000) +
				strings.Repeat("<x a='>'/>", 1000) + "<dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency></dependencies></project>", 1,
		},
		{
			"poetry-lock", "poetry.lock", "# " + strings.Repeat("[", 1000) + "\n[[package]]\nname = \"a\"\nversion = \"1\"\ndescription = \"\"\"" + strings.Repeat("[\n", 1000) +
				"\"\"\"\nx = ['" + strings.Repeat("{", 1000) + "']\n", 1,
		},
	} {
		packages, err := readAs(t, c.reader, c.name, []byte(c.content))
		if err != nil || len(packages) != c.want {
			t.Errorf("%s: %d packages, error %v, want %d", c.reader, len(packages), err, c.want)
		}
	}
}

// What a parser holds of a file is many times its size, whoever wrote it.
func TestLargeTextsAreRefused(t *testing.T) {
	for _, c := range []struct {
		reader, name, entry string
		bytes               int
	}{
		{"poetry-lock", "poetry.lock", "[[package]]\n", 9 << 20},
		{"maven-pom", "pom.xml", "<dependency/>", 9 << 20},
		{"package-lock", "package-lock.json", "{},", 17 << 20},
		{"yarn-lock", "yarn.lock", "a@1:\n", 17 << 20},
	} {
		_, err := readAs(t, c.reader, c.name, []byte(strings.Repeat(c.entry, c.bytes/len(c.entry))))
		if large := (extract.LargeError{}); !errors.As(err, &large) || large.Limit >= large.Size {
			t.Errorf("%s of %d bytes: error %v, want that it is too large", c.reader, c.bytes, err)
		}
	}
}

// packed makes an archive.
func packed(t *testing.T, add func(z *zip.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if err := add(z); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put adds a file of n times the same text.
func put(z *zip.Writer, name, text string, n int) error {
	w, err := z.Create(name)
	for range n {
		if err == nil {
			_, err = w.Write([]byte(text))
		}
	}
	return err
}

func TestArchiveBombsAreRefused(t *testing.T) {
	mib := strings.Repeat("Name: x\n", 1<<17)
	deep := packed(t, func(z *zip.Writer) error { return put(z, "a", "x", 1) })
	for range 20 {
		inner := string(deep)
		deep = packed(t, func(z *zip.Writer) error { return put(z, "b.jar", inner, 1) })
	}
	for name, content := range map[string][]byte{
		"nested":    packed(t, func(z *zip.Writer) error { return put(z, "a.jar", mib, 200) }),
		"manifest":  packed(t, func(z *zip.Writer) error { return put(z, "META-INF/MANIFEST.MF", mib, 200) }),
		"manifests": packed(t, func(z *zip.Writer) error { return manifests(z, 20_000) }),
		"deep":      deep,
	} {
		packages, err := readAs(t, "java-archive", "x-1.0.jar", content)
		if err == nil || !strings.Contains(err.Error(), "it holds") || len(packages) > 0 {
			t.Errorf("%s: %d packages, error %v", name, len(packages), err)
		}
	}
	jar := packed(t, func(z *zip.Writer) error {
		return put(z, "META-INF/maven/g/a/pom.properties", "groupId=g\nartifactId=a\nversion=1\n", 1)
	})
	fat := packed(t, func(z *zip.Writer) error { return put(z, "BOOT-INF/lib/a-1.jar", string(jar), 1) })
	if packages, err := readAs(t, "java-archive", "fat.jar", fat); err != nil || len(packages) != 1 || packages[0].Name != "g:a" {
		t.Errorf("an ordinary archive: %v, error %v", packages, err)
	}
}

func manifests(z *zip.Writer, n int) error {
	for i := range n {
		if err := put(z, fmt.Sprint(i, "/MANIFEST.MF"), "A: b\n", 1); err != nil {
			return err
		}
	}
	return nil
}

// wasm is a program with a list of crates.
func wasm(t *testing.T, list string, n int) []byte {
	t.Helper()
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	for range n {
		if _, err := w.Write([]byte(list)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	section := append([]byte("\x07.dep-v0"), z.Bytes()...)
	out := append([]byte("\x00asm\x01\x00\x00\x00\x01\x02ab\x00"), binary.AppendUvarint(nil, uint64(len(section)))...)
	return append(out, section...)
}

func TestListsOfCrates(t *testing.T) {
	packages, err := readAs(t, "rust-program", "a.wasm", wasm(t, `{"packages":[{"name":"serde","version":"1.0.0","source":"crates.io"}]}`, 1))
	if err != nil || len(packages) != 1 || packages[0].Name != "serde" {
		t.Errorf("an ordinary list: %v, error %v", packages, err)
	}
	if packages, err = readAs(t, "rust-program", "a.wasm", wasm(t, strings.Repeat(" ", 1<<20), 100)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("100 MiB of a list: %v, error %v", packages, err)
	}
	if packages, err = readAs(t, "rust-program", "a", []byte("#!/bin/sh\n")); err != nil || len(packages) > 0 {
		t.Errorf("a script: %v, error %v", packages, err)
	}
}
