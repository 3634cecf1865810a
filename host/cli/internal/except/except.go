// Package except keeps exceptions from rules: Sigma filters that a person made of an
// alert, that name what is left out, and that expire.
//
// Each is a file of its own in a folder of the rules. It is written as JSON, which
// is YAML too: so the detector reads it as any other filter, and this package needs
// no YAML. A person may edit it, as long as it stays JSON.
//
// When an exception expires it holds for no later event; the file stays until it is
// removed.
package except

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Folder is the folder of exceptions beside rules.
const Folder = "exceptions"

// Exception is one exception.
type Exception struct {
	ID string `json:"id"`
	// Rules are the ids of the rules that it is for; LogSource, as
	// category/product/service with * for any, is theirs.
	Rules     []string `json:"rules"`
	LogSource string   `json:"log_source"`
	// Fields are what an event must have to be left out, all of them, without
	// regard to case.
	Fields    map[string]string `json:"fields"`
	Reason    string            `json:"reason"`
	By        string            `json:"by"` // who made it, "" where nobody said
	FromAlert string            `json:"from_alert"`
	Created   time.Time         `json:"created"`
	Expires   time.Time         `json:"expires"`
	// File is where it stands.
	File string `json:"file"`
}

// document is an exception in Sigma.
type document struct {
	Title       string            `json:"title"`
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	Author      string            `json:"author,omitempty"`
	LogSource   map[string]string `json:"logsource"`
	Filter      struct {
		Rules     []string          `json:"rules"`
		Selection map[string]string `json:"selection"`
		Condition string            `json:"condition"`
	} `json:"filter"`
	Ironpost struct {
		Expires   time.Time `json:"expires"`
		Created   time.Time `json:"created"`
		FromAlert string    `json:"from_alert,omitempty"`
	} `json:"ironpost"`
}

// ErrForeign says that a file is no exception of this package's.
var ErrForeign = errors.New("not written by rules except, or not as JSON any more")

// Name gives an exception its id, which is made of what it says, so that the same
// exception made again replaces itself.
func (x *Exception) Name() {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(x.Fields)) {
		fmt.Fprintf(sum, "%q=%q ", name, strings.ToLower(x.Fields[name]))
	}
	fmt.Fprintf(sum, "%q %q", x.Rules, x.LogSource)
	x.ID = "except-" + hex.EncodeToString(sum.Sum(nil)[:6])
}

// Expired reports whether it holds no more.
func (x *Exception) Expired(now time.Time) bool { return !now.Before(x.Expires) }

// Match reports of how many of the events that an alert cites the exception would
// leave out, and how many those are. An alert that cites no log events is judged by
// its entities.
func (x *Exception) Match(a *ironpostv1.AlertEvent) (out, all int) {
	if len(a.GetLogs()) == 0 {
		if x.fits(func(name string) string { return Field(a.GetEntities(), name) }) {
			return 1, 1
		}
		return 0, 1
	}
	for _, l := range a.GetLogs() {
		if x.fits(func(name string) string { return LogField(l, name) }) {
			out++
		}
	}
	return out, len(a.GetLogs())
}

func (x *Exception) fits(get func(string) string) bool {
	for name, value := range x.Fields {
		if !strings.EqualFold(get(name), value) {
			return false
		}
	}
	return len(x.Fields) > 0
}

// Field returns the first value of a name, "" for none.
func Field(fields []*ironpostv1.Field, name string) string {
	for _, f := range fields {
		if f.GetKey() == name {
			return f.GetValue()
		}
	}
	return ""
}

// LogField returns a field of a log event as rules name it, "" for none.
func LogField(l *ironpostv1.LogEvent, name string) string {
	switch name {
	case "process":
		return l.GetProcess()
	case "host":
		return l.GetHost()
	case "message":
		return l.GetMessage()
	}
	return Field(l.GetFields(), name)
}

// Write writes the exception into a folder, which is made, and sets File. What has
// its id is replaced.
func (x *Exception) Write(dir string) error {
	d := document{ID: x.ID, Description: x.Reason, Author: x.By, LogSource: map[string]string{}}
	d.Title = cut("Exception to " + strings.Join(x.Rules, ", ") + " for " + x.When())
	for i, part := range strings.SplitN(x.LogSource, "/", 3) {
		if part != "*" && part != "" {
			d.LogSource[[...]string{"category", "product", "service"}[i]] = part
		}
	}
	d.Filter.Rules, d.Filter.Condition, d.Filter.Selection = x.Rules, "not selection", map[string]string{}
	for name, value := range x.Fields {
		d.Filter.Selection[name] = escape.Replace(value)
	}
	d.Ironpost.Expires, d.Ironpost.Created, d.Ironpost.FromAlert = x.Expires.UTC(), x.Created.UTC(), x.FromAlert
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("write the exception %s: %w", x.ID, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // rules are for everyone to read
		return fmt.Errorf("make the folder of exceptions: %w", err)
	}
	x.File = filepath.Join(dir, x.ID+".yaml")
	// The name begins with a dot, so that no half of a file is read as a rule.
	temporary := filepath.Join(dir, "."+x.ID+".new")
	if err := os.WriteFile(temporary, b.Bytes(), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("write the exception %s: %w", x.ID, err)
	}
	if err := os.Rename(temporary, x.File); err != nil {
		return fmt.Errorf("write the exception %s: %w", x.ID, err)
	}
	return nil
}

// Rewrite writes the exception where it stands.
func (x *Exception) Rewrite() error {
	before := x.File
	if err := x.Write(filepath.Dir(before)); err != nil {
		return err
	}
	if x.File != before {
		if err := os.Remove(before); err != nil {
			return fmt.Errorf("replace the exception %s: %w", x.ID, err)
		}
	}
	return nil
}

// escape makes texts mean themselves in Sigma.
var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)

// cut shortens a title to what Sigma allows.
func cut(s string) string {
	if len(s) > 250 {
		return strings.ToValidUTF8(s[:247], "") + "..."
	}
	return s
}

// When says what is left out.
func (x *Exception) When() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(x.Fields)) {
		out = append(out, name+"="+x.Fields[name])
	}
	return strings.Join(out, " ")
}

// Read reads the exceptions of a folder, in the order of their files. A folder that
// is not there has none. foreign has an error for each file that is something else.
func Read(dir string) (all []*Exception, foreign []error, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the exceptions: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		x, err := read(filepath.Join(dir, e.Name()))
		if err != nil {
			foreign = append(foreign, err)
			continue
		}
		all = append(all, x)
	}
	return all, foreign, nil
}

func read(name string) (*Exception, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the exception: %w", err)
	}
	var d document
	if json.Unmarshal(data, &d) != nil || d.ID == "" || d.Ironpost.Expires.IsZero() || d.Filter.Condition != "not selection" {
		return nil, fmt.Errorf("%s: %w", name, ErrForeign)
	}
	part := func(key string) string {
		if d.LogSource[key] == "" {
			return "*"
		}
		return d.LogSource[key]
	}
	x := &Exception{
		ID: d.ID, Rules: d.Filter.Rules, LogSource: part("category") + "/" + part("product") + "/" + part("service"), Fields: map[string]string{},
		Reason: d.Description, By: d.Author, FromAlert: d.Ironpost.FromAlert, Created: d.Ironpost.Created, Expires: d.Ironpost.Expires, File: name,
	}
	for key, value := range d.Filter.Selection {
		x.Fields[key] = unescape.Replace(value)
	}
	return x, nil
}

// unescape takes back what escape does.
var unescape = strings.NewReplacer(`\\`, `\`, `\*`, `*`, `\?`, `?`)
