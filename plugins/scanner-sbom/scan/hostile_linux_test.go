package scan_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// hostile is a tree of files that are there to break a scanner.
type hostile struct {
	t   *testing.T
	dir string
	// codes are those of the problem that a file must be named with; "" is a file that
	// must not be named.
	codes map[string]string
}

func (h *hostile) path(name string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// put writes a file that has to be named with a code.
func (h *hostile) put(name, code, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.codes[name] = code
}

// sparse makes a file of so many zeros.
func (h *hostile) sparse(name, code string, size int64) {
	h.t.Helper()
	h.put(name, code, "")
	if err := os.Truncate(h.path(name), size); err != nil {
		h.t.Fatal(err)
	}
}

// archive writes a zip archive.
func (h *hostile) archive(name, code string, fill func(z *zip.Writer) error) {
	h.t.Helper()
	f, err := os.Create(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(w)
	if err := errors.Join(fill(z), z.Close(), w.Flush(), f.Close()); err != nil {
		h.t.Fatal(err)
	}
	h.codes[name] = code
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// texts are the lockfiles and manifests that are text, all that there are.
var texts = []string{
	"conan.lock", "pubspec.lock", "x.deps.json", "packages.lock.json", "packages.config", "mix.lock", "stack.yaml.lock", "composer.lock", "renv.lock", "Package.resolved",
	"Podfile.lock", "go.mod", "Cargo.lock", "gradle.lockfile", "gradle/verification-metadata.xml", "pom.xml", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock",
	"pnpm-lock.yaml", "bun.lock", "package.json", "pdm.lock", "Pipfile.lock", "poetry.lock", "pylock.toml", "uv.lock", "requirements.txt", "x.dist-info/METADATA", "Gemfile.lock", "x.gemspec",
	"var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/pacman/local/x/desc",
}

// grown is the tree with everything in it.
func (h *hostile) grow() {
	const bad = inventory.CodeMalformed
	// One line of a gigabyte, and one that is just within the bounds.
	for _, name := range texts {
		// Each in a folder of its own: some are passed over beside others.
		h.sparse("line/"+name+"/"+name, inventory.CodeTooLarge, gib)
		h.sparse("zeros/"+name+"/"+name, bad, 7*mib)
		h.put("binary/"+name+"/"+name, bad, noise(1, 64<<10))
	}
	// What these forms mean by a line that says nothing: it is passed over, as their own
	// tools do, or is the text of something.
	for _, lenient := range []string{
		"mix.lock", "Gemfile.lock", "stack.yaml.lock", "gradle.lockfile", "requirements.txt", "x.gemspec", "yarn.lock", "x.dist-info/METADATA", "var/lib/pacman/local/x/desc",
		"lib/apk/db/installed", "var/lib/dpkg/status",
	} {
		delete(h.codes, "zeros/"+lenient+"/"+lenient)
		delete(h.codes, "binary/"+lenient+"/"+lenient)
	}
	h.deep()
	h.lockfiles()
	h.archives()
	h.databases()
	h.nodes()
}

// deep writes values in one another, and those that are many times what they seem.
func (h *hostile) deep() {
	const bad, n = inventory.CodeMalformed, 1 << 20
	for _, name := range []string{"conan.lock", "x.deps.json", "packages.lock.json", "composer.lock", "renv.lock", "Package.resolved", "package-lock.json", "npm-shrinkwrap.json", "bun.lock", "package.json", "Pipfile.lock"} {
		h.put("lists/"+name+"/"+name, bad, strings.Repeat("[", 7*n))
		h.put("objects/"+name+"/"+name, bad, strings.Repeat(`{"a":`, n))
		h.put("closed/"+name+"/"+name, bad, strings.Repeat(`{"packages":`, n)+"1"+strings.Repeat("}", n))
	}
	for _, name := range []string{"Cargo.lock", "pdm.lock", "poetry.lock", "pylock.toml", "uv.lock"} {
		h.put("lists/"+name+"/"+name, bad, "a = "+strings.Repeat("[", 7*n))
		h.put("tables/"+name, bad, "["+strings.Repeat("a.", n)+"a]\n")
		h.put("types/"+name, bad, "package = 3\npackages = \"x\"\n")
		h.put("strings/"+name, bad, "a = \"\"\"")
	}
	laughs := "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
	for i := 1; i < 10; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	for _, name := range []string{"pnpm-lock.yaml", "pubspec.lock", "Podfile.lock"} {
		h.put("laughs/"+name, bad, laughs+"lockfileVersion: *a9\npackages: *a9\nPODS: *a9\nsnapshots: *a9\n")
		h.put("lists/"+name+"/"+name, bad, strings.Repeat("[", n))
		h.put("maps/"+name, bad, strings.Repeat("{a: ", n))
		h.put("circle/"+name, bad, "a: &a [*a]\npackages: *a\nPODS: *a\nlockfileVersion: *a\n")
	}
	for _, name := range []string{"pom.xml", "gradle/verification-metadata.xml", "packages.config"} {
		h.put("elements/"+name, bad, strings.Repeat("<a>", 2*n))
		h.put("attributes/"+name, bad, "<a"+strings.Repeat(` b="c"`, n)+">")
		h.put("entities/"+name, bad, `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]><project><dependencies>&b;&c;</dependencies></project>`)
	}
}

// lockfiles are whole, and say what cannot be.
func (h *hostile) lockfiles() {
	// A parent that is its own parent, two that are each other's, and a long chain: what
	// these declare themselves is there, since no parent is asked.
	pom := func(of, parent string) string {
		return fmt.Sprintf(`<project><parent><groupId>p</groupId><artifactId>%s</artifactId><version>1</version><relativePath>../%[1]s/pom.xml</relativePath></parent>`+
			`<groupId>p</groupId><artifactId>%s</artifactId><version>1</version><dependencies><dependency><groupId>hostile</groupId><artifactId>%[2]s</artifactId><version>1</version></dependency></dependencies></project>`, parent, of)
	}
	h.put("pom/self/pom.xml", "", pom("self", "self"))
	h.put("pom/one/pom.xml", "", pom("one", "two"))
	h.put("pom/two/pom.xml", "", pom("two", "one"))
	for i := range 500 {
		h.put(fmt.Sprintf("chain/c%d/pom.xml", i), "", pom(fmt.Sprint("c", i), fmt.Sprint("c", i+1)))
	}
	h.put("property/pom.xml", "", `<project><properties><a>${b}</a><b>${a}${a}</b></properties><dependencies><dependency><groupId>hostile</groupId><artifactId>${a}</artifactId><version>${b}</version></dependency></dependencies></project>`)
	for _, name := range []string{"poetry.lock", "pdm.lock", "uv.lock", "Cargo.lock"} {
		h.put("fields/"+name, inventory.CodeIncomplete, strings.Repeat("[[package]]\n\n", 3))
		h.put("numbers/"+name, inventory.CodeMalformed, "[[package]]\nname = 5\nversion = [1]\n")
		h.put("none/"+name, "", "# nothing\n")
	}
	h.put("fields/package-lock.json", "", `{"lockfileVersion":3,"packages":{"":{},"node_modules/":{},"node_modules/hostile":{"version":{}},"a":{"link":true,"resolved":"a"}}}`)
	h.put("circle/package-lock.json", "", `{"lockfileVersion":3,"packages":{"node_modules/hostile":{"version":"1","dependencies":{"hostile":"1"}}}}`)
	h.put("quotes/package-lock.json", inventory.CodeMalformed, "{\"packages\":{\"\xff\":")
	h.put("r/requirements.txt", "", "-r requirements.txt\n-r ../../../../../../../../etc/passwd\n-c /dev/zero\nhostile-python==1\n")
}

// zeros are so many MiB of zeros, deflated: each part is the same, and stands for itself.
func zeros(mibs int) []byte {
	var part bytes.Buffer
	w, _ := flate.NewWriter(&part, flate.BestCompression) // it knows the level
	_, _ = w.Write(make([]byte, mib))                     // a buffer takes everything
	_ = w.Flush()                                         // likewise
	out := bytes.Repeat(part.Bytes(), mibs)
	return append(out, 1, 0, 0, 0xff, 0xff) // a last part, of nothing
}

// raw adds a file that is packed already, with the size that it is said to have.
func raw(z *zip.Writer, name string, packed []byte, size uint64, sum uint32) error {
	w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: uint64(len(packed)), UncompressedSize64: size, CRC32: sum})
	if err == nil {
		_, err = w.Write(packed)
	}
	return err
}

// whole adds a file that is not packed.
func whole(z *zip.Writer, name, text string) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	return err
}

func zipped(t *testing.T, fill func(z *zip.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if err := errors.Join(fill(z), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const properties = "groupId=hostile\nartifactId=%s\nversion=1\n"

func (h *hostile) archives() {
	const bad, expands = inventory.CodeMalformed, inventory.CodeExpands
	bomb := zeros(10 << 10) // 10 GiB
	h.archive("zip/archive.jar", expands, func(z *zip.Writer) error { return raw(z, "a.jar", bomb, 10*gib, 0) })
	h.archive("zip/manifest.jar", expands, func(z *zip.Writer) error { return raw(z, "META-INF/MANIFEST.MF", bomb, 10*gib, 0) })
	// It says that it is small.
	h.archive("zip/lie.jar", bad, func(z *zip.Writer) error { return raw(z, "META-INF/MANIFEST.MF", bomb, 100, 0) })
	h.archive("zip/inner-lie.jar", bad, func(z *zip.Writer) error { return raw(z, "a.jar", bomb, 100, 0) })
	// Nobody asks for its content.
	h.archive("zip/class.jar", "", func(z *zip.Writer) error {
		return errors.Join(raw(z, "A.class", bomb, 10*gib, 0), whole(z, "META-INF/maven/hostile/class/pom.properties", fmt.Sprintf(properties, "class")))
	})
	h.archive("zip/x-1.whl", expands, func(z *zip.Writer) error { return raw(z, "x-1.dist-info/METADATA", bomb, 10*gib, 0) })
	inner := zipped(h.t, func(z *zip.Writer) error { return raw(z, "0.jar", zeros(64), 64*mib, 0) })
	for range 6 {
		was := inner
		inner = zipped(h.t, func(z *zip.Writer) (err error) {
			for i := range 16 {
				err = errors.Join(err, raw(z, fmt.Sprintf("%d.jar", i), deflated(was), uint64(len(was)), crc32.ChecksumIEEE([]byte(was))))
			}
			return err
		})
	}
	h.put("zip/42.jar", expands, inner)
	h.archive("zip/entries.jar", expands, func(z *zip.Writer) error {
		for i := range 1_000_000 {
			if err := raw(z, fmt.Sprintf("%07d", i), []byte{1, 0, 0, 0xff, 0xff}, 0, 0); err != nil {
				return err
			}
		}
		return nil
	})
	h.archive("zip/outside.jar", "", func(z *zip.Writer) error {
		jar := zipped(h.t, func(z *zip.Writer) error {
			return whole(z, "../../../META-INF/maven/hostile/outside/pom.properties", fmt.Sprintf(properties, "outside"))
		})
		return errors.Join(whole(z, "../../../../../../../../etc/hostile.jar", jar), whole(z, "/etc/hostile.jar", jar), whole(z, "..\\..\\hostile.jar", jar))
	})
	good := zipped(h.t, func(z *zip.Writer) error { return whole(z, "a", strings.Repeat("a", 4096)) })
	h.put("zip/cut.jar", bad, good[:len(good)/2])
	h.put("zip/empty.jar", "", "")
	h.sparse("zip/zeros.jar", bad, gib)
	h.sparse("zip/large.jar", inventory.CodeTooLarge, 100*gib)

	// Programs, whole and cut off at many places.
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 1; i < 16; i++ {
		name := fmt.Sprintf("program/cut%d.so", i)
		h.put(name, "", string(program[:len(program)*i/16/4]))
		delete(h.codes, name) // it may have said all by then
	}
	head := []byte(program[:64])
	binary.LittleEndian.PutUint64(head[32:], 1<<62) // where the segments are
	binary.LittleEndian.PutUint64(head[40:], 1<<63-1)
	h.put("program/far.so", "", string(head))
	h.put("program/magic.exe", "", "MZ"+noise(2, 4096))
	h.put("program/macho.so", "", "\xcf\xfa\xed\xfe"+noise(3, 4096))
	h.put("program/wasm.so", "", "\x00asm\x01\x00\x00\x00"+strings.Repeat("\x01\x00", 100_000))
	for _, name := range []string{"far.so", "magic.exe", "macho.so", "wasm.so"} {
		delete(h.codes, "program/"+name) // what is no program need not be named
	}
}

func deflated(text string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed) // it knows the level
	_, _ = w.Write([]byte(text))                 // a buffer takes everything
	_ = w.Close()                                // likewise
	return b.Bytes()
}

// databases are those of rpm, damaged behind the mark of their form.
func (h *hostile) databases() {
	bdb := make([]byte, 12, 16)
	bdb = binary.LittleEndian.AppendUint32(bdb, 0x061561)
	for i := range uint64(8) {
		at := fmt.Sprintf("rpm%d/var/lib/rpm/", i)
		h.put(at+"Packages", inventory.CodeMalformed, string(bdb)+noise(10+i, 256<<10))
		h.put(at+"Packages.db", inventory.CodeMalformed, "RpmP\x00\x00\x00\x00\x01\x00\x00\x00"+noise(20+i, 256<<10))
		h.put(at+"rpmdb.sqlite", inventory.CodeMalformed, "SQLite format 3\x00\x10\x00\x01\x01\x00\x40\x20\x20"+noise(30+i, 256<<10))
	}
	h.put("rpmcut/var/lib/rpm/Packages", inventory.CodeMalformed, string(bdb))
	h.put("rpmcut/var/lib/rpm/Packages.db", inventory.CodeMalformed, "RpmP")
	h.put("rpmcut/var/lib/rpm/rpmdb.sqlite", inventory.CodeMalformed, "SQLite format 3\x00")
}

// nodes are what is no ordinary file, or has no ordinary name.
func (h *hostile) nodes() {
	const lock = "package-lock.json"
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	must(unix.Mkfifo(h.path("pipe/"+lock), 0o666))
	must(unix.Mknod(h.path("socket/"+lock), unix.S_IFSOCK|0o666, 0))
	h.codes["pipe/"+lock], h.codes["socket/"+lock] = inventory.CodeUnreadable, inventory.CodeUnreadable
	if os.Geteuid() == 0 {
		must(unix.Mknod(h.path("device/"+lock), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))) // zeros without end
		h.codes["device/"+lock] = inventory.CodeUnreadable
		must(unix.Mknod(h.path("deleted/"+lock), unix.S_IFCHR|0o666, 0)) // as overlayfs has it
		h.codes["deleted/"+lock] = ""
	}
	must(os.Symlink(lock, h.path("loop/"+lock)))
	must(os.Symlink(".", h.path("loop/again")))
	must(os.Symlink("../loop", h.path("loop/up")))
	must(os.Symlink("/", h.path("loop/root")))
	h.codes["loop/"+lock] = ""
	h.put("refused/"+lock, inventory.CodeUnreadable, "{}")
	must(os.Chmod(h.path("refused/"+lock), 0))
	must(os.Mkdir(h.path("closed-folder"), 0))
	h.codes["closed-folder"] = inventory.CodeUnreadable
	h.put("name\xff\xfe\n/"+lock, "", "{")
	h.codes["name\uFFFD\n/"+lock] = inventory.CodeMalformed
	delete(h.codes, "name\xff\xfe\n/"+lock)
	deepest := strings.Repeat("d/", 127) + "d"
	h.put(deepest+"/"+lock, "", "{")
	delete(h.codes, deepest+"/"+lock)
	h.put(deepest+"/e/"+lock, "", "{")
	delete(h.codes, deepest+"/e/"+lock)
	h.codes[deepest+"/e"] = inventory.CodeTooDeep
	must(os.Mkdir(h.path("folder/"+lock), 0o755))
}

// good are files that must be read whatever lies beside them.
func (h *hostile) good() {
	for name, text := range map[string]string{
		"Cargo.lock":                  fmt.Sprintf(crate, "good-cargo"),
		"package-lock.json":           `{"lockfileVersion":3,"packages":{"node_modules/good-npm":{"version":"1.0.0","license":"MIT"}}}`,
		"yarn.lock":                   "good-yarn@^1:\n  version \"1.0.0\"\n",
		"pnpm-lock.yaml":              "lockfileVersion: '9.0'\npackages:\n  good-pnpm@1.0.0:\n    resolution: {integrity: sha512-AAAA}\nsnapshots:\n  good-pnpm@1.0.0: {}\n",
		"poetry.lock":                 "[[package]]\nname = \"good-poetry\"\nversion = \"1\"\n",
		"uv.lock":                     "version = 1\n[[package]]\nname = \"good-uv\"\nversion = \"1\"\nsource = { registry = \"https://pypi.org/simple\" }\n",
		"requirements.txt":            "good-requirements==1\n",
		"Pipfile.lock":                `{"default":{"good-pipfile":{"version":"==1"}}}`,
		"go.mod":                      "module good\ngo 1.24\nrequire example.com/good v1.0.0\n",
		"pom.xml":                     "<project><dependencies><dependency><groupId>good</groupId><artifactId>pom</artifactId><version>1</version></dependency></dependencies></project>",
		"composer.lock":               `{"packages":[{"name":"good/composer","version":"1"}]}`,
		"Gemfile.lock":                "GEM\n  remote: https://rubygems.org/\n  specs:\n    good-gem (1.0)\n\nDEPENDENCIES\n  good-gem\n",
		"pubspec.lock":                "packages:\n  good_pub:\n    dependency: transitive\n    description: {name: good_pub}\n    source: hosted\n    version: \"1.0.0\"\n",
		"var/lib/dpkg/status":         "Package: good-dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n",
		"etc/os-release":              "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
		"g.dist-info/METADATA":        "Metadata-Version: 2.1\nName: good-dist\nVersion: 1\n",
		"name\xff/Cargo.lock":         fmt.Sprintf(crate, "good-name"),
		"node_modules/x/package.json": `{"name":"good-module","version":"1"}`,
		"lib.jar": zipped(h.t, func(z *zip.Writer) error {
			return whole(z, "META-INF/maven/good/jar/pom.properties", "groupId=good\nartifactId=jar\nversion=1\n")
		}),
	} {
		h.put("good/"+name, "", text)
	}
	for name := range h.codes {
		if strings.HasPrefix(name, "good/name") {
			delete(h.codes, name)
		}
	}
}

// noise is the same each time.
func noise(seed uint64, n int) string {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b) // it never fails
	return string(b)
}

// answer is what the scan of a process of its own comes to.
type answer struct {
	Packages []*inventory.Package
	Problems []inventory.Problem
	// Again are the problems of a second scan that remembers the first, of which it
	// Recalled so many files.
	Again    []string
	Recalled int64
	Left     int
	Peak     int64 // KiB
}

// child scans, with the bounds that the host sets for a plugin.
func child(t *testing.T, dir, to string) {
	for resource, most := range map[int]uint64{unix.RLIMIT_DATA: gib, unix.RLIMIT_AS: 3 * gib, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			t.Fatal(err)
		}
	}
	extract.Log(hclog.NewNullLogger())
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	left := &scan.Left{}
	memory, c := recall.Open(filepath.Dir(to)), scan.Config{
		Readers: readers(t), Workers: 4, Left: left,
		Limits: scan.Limits{FileTime: 3 * time.Minute}, // on a machine that is busy
	}
	v, _, err := memory.Scan(t.Context(), root, c)
	if err != nil {
		t.Fatal(err)
	}
	again, stats, err := memory.Scan(t.Context(), root, c)
	if err != nil {
		t.Fatal(err)
	}
	out := answer{Packages: v.Packages(), Problems: v.Problems(), Left: left.Now(), Recalled: stats.Recalled}
	for _, p := range again.Problems() {
		out.Again = append(out.Again, p.Path+" "+p.Code)
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	out.Peak = usage.Maxrss
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// scanned has a process of its own, which is nobody's where that can be, scan a tree.
func scanned(t *testing.T, dir string) answer {
	t.Helper()
	const nobody = 65534
	space := t.TempDir()
	at, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Others may not look into the folder of the test's binary.
	program := filepath.Join(space, "test")
	if err := os.Link(at, program); err != nil {
		text, err := os.ReadFile(at)
		if err = errors.Join(err, os.WriteFile(program, text, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(space, "answer")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestHostileTree$", "-test.count=1")
	cmd.Dir = space
	cmd.Env = append(os.Environ(), "HOSTILE_TREE="+dir, "HOSTILE_ANSWER="+to)
	if os.Geteuid() == 0 {
		for _, open := range []string{filepath.Dir(space), filepath.Dir(dir), dir} {
			if err := os.Chmod(open, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(space, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the scan: %v\n%.8000s", err, text)
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	var out answer
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostileTree scans a tree of everything that is there to break a scanner, in a
// process with the memory of a plugin: it comes to its end, names each file that it
// could not read with its code, and finds in the good ones what it finds without.
func TestHostileTree(t *testing.T) {
	if dir := os.Getenv("HOSTILE_TREE"); dir != "" {
		child(t, dir, os.Getenv("HOSTILE_ANSWER"))
		return
	}
	alone := &hostile{t, t.TempDir(), map[string]string{}}
	alone.good()
	want := scanned(t, alone.dir)
	if len(want.Packages) < 17 || len(want.Problems) > 0 {
		t.Fatalf("%d packages of the good files, problems %v", len(want.Packages), want.Problems)
	}

	h := &hostile{t, t.TempDir(), map[string]string{}}
	h.good()
	h.grow()
	stop := h.restless()
	got := scanned(t, h.dir)
	stop()
	t.Logf("%d files, %d packages, %d problems, %d KiB at most", len(h.codes), len(got.Packages), len(got.Problems), got.Peak)
	if got.Left != 0 {
		t.Errorf("%d readers did not come to an end", got.Left)
	}
	all := slices.Clone(got.Packages)
	good := slices.DeleteFunc(got.Packages, func(p *inventory.Package) bool {
		return !strings.HasPrefix(p.Locations[0].Path, "good/")
	})
	if diff := cmp.Diff(want.Packages, good); diff != "" {
		t.Errorf("packages of the good files (-alone +among hostile ones):\n%s", diff)
	}
	// No parent is asked, so that those that are in a circle do no harm.
	hostile := map[string]bool{}
	for _, p := range all {
		hostile[p.Name] = true
	}
	for _, name := range []string{"self", "one", "two", "c0", "c499", "class", "outside"} {
		if !hostile["hostile:"+name] {
			t.Errorf("hostile:%s is not found", name)
		}
	}
	documents(t, all, got.Problems)
	codes := map[string]string{}
	var first []string
	for _, p := range got.Problems {
		codes[p.Path] = p.Code
		first = append(first, p.Path+" "+p.Code)
	}
	restless := func(p string) bool { return strings.HasPrefix(p, "restless") }
	if diff := cmp.Diff(slices.DeleteFunc(first, restless), slices.DeleteFunc(got.Again, restless)); diff != "" || got.Recalled < 100 {
		t.Errorf("problems when the scan is remembered, with %d files of it (-first +again):\n%s", got.Recalled, diff)
	}
	for _, name := range slices.Sorted(maps.Keys(h.codes)) {
		if codes[name] != h.codes[name] {
			t.Errorf("%.100q: code %q, want %q", name, codes[name], h.codes[name])
		}
	}
}

// restless has files grow and shrink until it is stopped.
func (h *hostile) restless() (stop func()) {
	var names []string
	for i, name := range []string{"package-lock.json", "poetry.lock", "pom.xml", "a.jar", "var/lib/dpkg/status", "var/lib/rpm/rpmdb.sqlite"} {
		name = "restless" + strconv.Itoa(i) + "/" + name
		h.put(name, "", noise(uint64(i), 4<<10))
		delete(h.codes, name)
		names = append(names, h.path(name))
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := int64(0); ; i++ {
			for _, name := range names {
				_ = os.Truncate(name, (i*7919)%(1<<20)) // the scan is what is tested
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
