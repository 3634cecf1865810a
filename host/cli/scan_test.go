package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// fakeScan answers as a scanner does.
func fakeScan(_ context.Context, c ScanConfig) error {
	switch {
	case filepath.Base(c.Target) == "bad":
		return errors.New("it is no folder" + hostile)
	case len(c.Paths) == 0 && c.Target == "web:1" && c.Platform == "linux/arm64":
		_, err := fmt.Fprint(c.Stdout, `{"target":"web:1","kind":"container","name":"web:1","id":"0123456789abcdef","image":"acme:1","notes":["web:1 is a container and an image"],
			"packages":[{"name":"a"}],"stats":{"files":1}}`)
		return err
	case len(c.Paths) == 0:
		return errors.New("there is no such path, and Docker cannot be asked")
	case !filepath.IsAbs(c.Paths[0]) || c.Paths[0] != c.Target:
		return fmt.Errorf("paths %q of target %q", c.Paths, c.Target)
	case c.Document != "":
		at := ""
		if c.Epoch != "" {
			at = " written at " + c.Epoch
		}
		_, err := fmt.Fprintf(c.Stdout, "document %s of %s%s\n", c.Document, c.Target, at)
		return err
	}
	changes := `{"added":[],"removed":[],"changed":[]}`
	if c.Against != "" {
		changes = `{"added":[],"removed":[],"changed":[{"ecosystem":"PyPI","name":"c","from":["1"],"to":["2","3"]}],
			"relicensed":[{"ecosystem":"npm","name":"b","version":"1","from":["MIT"],"to":["BUSL-1.1"]}]}`
	}
	text, err := encode(hostile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Stdout, `{"target":"t",
		"packages":[{"name":"a","version":"1.0.0","ecosystem":"npm","state":"locked","locations":[{"path":"x/package-lock.json"},{"path":"y"}]},
			{"name":"b","version":"1","ecosystem":"npm","locations":[]},{"name":"c","version":"1","ecosystem":"PyPI","locations":[]}],
		"findings":[{"id":"CVE-2020-1","name":"a","version":"1.0.0","severity":{"level":"high","score":7.5},"fixed":["1.0.1","1.1.0","2"],
			"exploited":{"cve":"CVE-2020-1"},"summary":%s},
			{"id":"CVE-2020-2","name":"b","version":"1","severity":{"level":"high"},"suppressed":{"by":"rule","reason":"ours"}}],
		"ecosystems":[{"ecosystem":"npm","packages":2,"state":"checked"},{"ecosystem":"PyPI","packages":1,"state":"unchecked","reason":"there are no advisories of it"}],
		"problems":[{"path":"x/Cargo.lock","code":"malformed","reason":%s}],
		"stats":{"folders":3,"files":7},"compared":%v,"changes":%s}`,
		strings.Replace(string(text), `"`, `"It breaks`, 1), strings.Replace(string(text), `"`, `"line 3`, 1), c.Against != "", changes)
	return err
}

// fakeAdvisories answers as a scanner does.
func fakeAdvisories(_ context.Context, c AdvisoriesConfig) error {
	source := ""
	if len(c.Import) > 0 {
		source = fmt.Sprintf(`{"name":%q,"records":5,"added":4,"changed":1,"refused":3,"exploited":2,"likelihoods":1,
			"problems":[{"file":"rules/x.json","code":"not_record","reason":"no id"}]}`, c.Import[0])
	}
	_, err := fmt.Fprintf(c.Stdout, `{"records":5,"sources":[%s],
		"ecosystems":[{"ecosystem":"npm","records":5,"state":"stale","reason":"old","newest":"2024-12-01T00:00:00Z","imported":"2024-12-10T01:00:00Z"}]}`, source)
	return err
}
