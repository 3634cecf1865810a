package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of a field. Its text is the name plugins use for it.
type Type string

// The types and the Go values that they decode to.
const (
	// String is a string.
	String Type = "string"
	// Int is a whole number of 64 bits, an int64.
	Int Type = "int"
	// Bool is a bool.
	Bool Type = "bool"
	// Float is a finite float64; a whole number is accepted.
	Float Type = "float"
	// Duration is a time.Duration, written as "2ms", "1h30m" or "7d".
	Duration Type = "duration"
	// Size is a number of bytes, an int64, written as 4096 or "128KiB".
	Size Type = "size"
	// Strings is a list of strings, a []string. One string stands for a list
	// of one.
	Strings Type = "strings"
	// Map is a table of strings by free names, a map[string]string.
	Map Type = "map"
)

// Format narrows a String, or each element of a Strings or Map value.
type Format string

// The formats.
const (
	// AnyText is text without control characters other than tab.
	AnyText Format = ""
	// CIDR is an address or a network without host bits; it is kept as a
	// prefix in canonical form, 192.0.2.7 as 192.0.2.7/32.
	CIDR Format = "cidr"
	// HostPort is host:port with a numeric port; the host may be empty.
	HostPort Format = "hostport"
	// Interface is a name that Linux accepts for a network interface.
	Interface Format = "interface"
	// Path is a file path of at most 4096 bytes.
	Path Format = "path"
	// PublicKey is a minisign public key, as the second line of its file has it.
	PublicKey Format = "publickey"
)

// Field declares one key of a section. Default, Min and Max are written as the
// environment would write them, so that a declaration means the same whether it
// is the host's or came over the wire.
type Field struct {
	// Key is the name, lower_snake_case; nested tables are separated by dots,
	// at most four names deep.
	Key string
	// Type is one of the constants above.
	Type Type
	// Default is the value when nothing sets the key; "" is the zero value of
	// the type. It is not held against Min, Enum and Format when it is "". A
	// secret has none.
	Default string
	// Min and Max bound numbers, durations and sizes, both inclusive; for
	// String the length in bytes, for Strings and Map the number of elements.
	// "" is no bound, except that durations and sizes start at 0, strings end
	// at 65536 bytes and lists and maps at 4096 elements.
	Min, Max string
	// Enum lists the allowed values of a String, or of each element of a
	// Strings or Map value. Empty is any.
	Enum []string
	// Format narrows text further.
	Format Format
	// Help is one line for a person.
	Help string
	// Secret marks a String whose value never prints; see Secret.
	Secret bool
	// Live says that a change takes effect without a restart of the owner.
	Live bool
}

// Section declares one top-level table of the file.
type Section struct {
	// Name is the table's name, lower case with digits, "_" and "-".
	Name string
	// Owner is HostOwner or the name of the plugin.
	Owner string
	// Fields are its keys.
	Fields []Field
	// Unread marks a section whose owner is known and can not use it now
	// (absent, refused, changed, disabled): what the file and the environment
	// say about it is neither checked nor kept.
	Unread bool
}

// Bounds on what a plugin may declare.
const (
	maxFields     = 256
	maxNameLength = 64
	maxKeyDepth   = 4
	maxEnum       = 64
	maxHelp       = 1024
	maxDefault    = 4096
	maxText       = 64 << 10
	maxItems      = 4096
)

// delim separates the parts of a path inside this package. TOML keys may hold
// dots; this character is refused in keys, so that paths are unambiguous.
const delim = "\x1f"

// field is a Field whose declaration was checked.
type field struct {
	Field
	section *section
	path    string // section and key parts, joined by delim
	parts   []string
	def     any
	lo, hi  *int64 // for everything but Float
	flo     *float64
	fhi     *float64
}

// fullKey is the key as a person writes it, as bus.credits.
func (f *field) fullKey() string { return f.section.Name + "." + f.Key }

// env is the name of the variable that sets f.
func (f *field) env() string {
	return f.section.envPrefix() + envName(f.Key)
}

// section is a Section whose declaration was checked.
type section struct {
	Section
	fields []*field          // in the order of the declaration
	byPath map[string]*field // by path
	tables map[string]bool   // paths of the tables above nested keys
}

func (s *section) envPrefix() string { return envPrefix + envName(s.Name) + "_" }

// keys are the names that may stand in the table at path.
func (s *section) keys(path string) []string {
	var out []string
	for _, f := range s.fields {
		rest, ok := strings.CutPrefix(f.path, path+delim)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, delim)
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

const envPrefix = "IRONPOST_"

// envName is the part of a variable's name for a section or key.
func envName(s string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s))
}

// schema is all sections that a Load knows.
type schema struct {
	sections []*section
	byName   map[string]*section
}

// names are the known sections.
func (sc *schema) names() []string {
	out := make([]string, 0, len(sc.sections))
	for _, s := range sc.sections {
		out = append(out, s.Name)
	}
	return out
}

// newSchema checks the declarations. A section that is declared badly, or under
// a name that is taken, is a problem of its owner; the name stays known and
// unread, so that the file's table of that name is not reported as nobody's.
func newSchema(host, plugins []Section, c *collector) *schema {
	sc := &schema{byName: make(map[string]*section)}
	for i, decl := range slices.Concat(host, plugins) {
		if i >= len(host) && (decl.Owner == HostOwner || decl.Owner == "") {
			// Problems of the owner "host" stop the host: no plugin may have
			// that name.
			c.add(Problem{
				Origin: Origin{Kind: FromDefault}, Key: printable(decl.Name), Warning: true,
				Message: "the section is declared by a plugin that is named " + printable(decl.Owner) + ", and is ignored",
			})
			continue
		}
		s, err := compile(decl)
		if err == nil && sc.byName[decl.Name] != nil {
			err = fmt.Errorf("the name is taken by %s", sc.byName[decl.Name].Owner)
		}
		if err != nil {
			c.add(Problem{
				Origin: Origin{Kind: FromDefault}, Key: printable(decl.Name), Owner: decl.Owner,
				Message: fmt.Sprintf("the section declared by %s is not usable: %v", printable(decl.Owner), err), Err: err,
			})
			s = &section{Section: Section{Name: decl.Name, Owner: decl.Owner, Unread: true}}
			if sc.byName[decl.Name] != nil || validSection(decl.Name) != nil {
				continue
			}
		}
		sc.byName[s.Name] = s
		sc.sections = append(sc.sections, s)
	}
	return sc
}

// Validate reports the first thing that makes the declaration unusable, so that
// a plugin can be refused before its section is ever read. It returns nil for
// every section that Load will accept.
func (s Section) Validate() error {
	_, err := compile(s)
	return err
}

// compile checks one declaration.
func compile(decl Section) (*section, error) {
	if err := validSection(decl.Name); err != nil {
		return nil, err
	}
	if decl.Owner == "" {
		return nil, fmt.Errorf("section %s has no owner", decl.Name)
	}
	s := &section{Section: decl, byPath: make(map[string]*field), tables: make(map[string]bool)}
	if decl.Unread {
		return s, nil
	}
	if len(decl.Fields) > maxFields {
		return nil, fmt.Errorf("%d keys are declared, at most %d are allowed", len(decl.Fields), maxFields)
	}
	envs := make(map[string]string)
	for _, d := range decl.Fields {
		f, err := compileField(s, d)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", printable(d.Key), err)
		}
		if other, taken := envs[f.env()]; taken {
			return nil, fmt.Errorf("keys %s and %s share the variable %s", other, f.Key, f.env())
		}
		envs[f.env()] = f.Key
		s.fields = append(s.fields, f)
		s.byPath[f.path] = f
		for i := 1; i < len(f.parts); i++ {
			s.tables[joinPath(s.Name, f.parts[:i]...)] = true
		}
	}
	for path := range s.tables {
		if f := s.byPath[path]; f != nil {
			return nil, fmt.Errorf("key %s is a value and a table at once", f.Key)
		}
	}
	return s, nil
}

func compileField(s *section, d Field) (*field, error) {
	parts := strings.Split(d.Key, ".")
	if len(parts) > maxKeyDepth || len(d.Key) > maxNameLength {
		return nil, fmt.Errorf("names may be %d tables deep and %d bytes long", maxKeyDepth, maxNameLength)
	}
	for _, p := range parts {
		if !isName(p, false) {
			return nil, fmt.Errorf("%s is not a lower_snake_case name", printable(p))
		}
	}
	switch {
	case !slices.Contains([]Type{String, Int, Bool, Float, Duration, Size, Strings, Map}, d.Type):
		return nil, fmt.Errorf("unknown type %s", printable(string(d.Type)))
	case !slices.Contains([]Format{AnyText, CIDR, HostPort, Interface, Path, PublicKey}, d.Format):
		return nil, fmt.Errorf("unknown format %s", printable(string(d.Format)))
	case (len(d.Enum) > 0 || d.Format != AnyText) && !d.Type.isText():
		return nil, fmt.Errorf("type %s can not have a list of values or a format", d.Type)
	case d.Secret && d.Type != String:
		return nil, fmt.Errorf("only a string can be secret, not a %s", d.Type)
	case d.Secret && (d.Default != "" || len(d.Enum) > 0):
		// A default of "file:/etc/shadow" would have the host read that file
		// for the plugin.
		return nil, fmt.Errorf("a secret has neither a default nor a list of values")
	case len(d.Enum) > maxEnum || len(d.Default) > maxDefault || len(d.Help) > maxHelp:
		return nil, fmt.Errorf("at most %d allowed values, %d bytes of default and %d of help", maxEnum, maxDefault, maxHelp)
	case !plainText(d.Help):
		return nil, fmt.Errorf("the help holds control characters")
	}
	for _, e := range d.Enum {
		if len(e) > maxNameLength || e == "" || !plainText(e) {
			return nil, fmt.Errorf("allowed value %s is empty, longer than %d bytes or not plain text", printable(e), maxNameLength)
		}
	}
	f := &field{Field: d, section: s, parts: parts, path: joinPath(s.Name, parts...)}
	if err := f.compileBounds(); err != nil {
		return nil, err
	}
	if d.Default == "" {
		f.def = f.zero()
		return f, nil
	}
	v, fault := f.fromText(d.Default)
	if fault != nil {
		return nil, fmt.Errorf("default: %s", fault.message)
	}
	f.def = v
	return f, nil
}

// isText reports whether values or elements of type t are text.
func (t Type) isText() bool { return t == String || t == Strings || t == Map }

// compileBounds reads Min and Max in the unit of the type.
func (f *field) compileBounds() error {
	switch f.Type {
	case Bool:
		if f.Min != "" || f.Max != "" {
			return fmt.Errorf("a bool has no bounds")
		}
		return nil
	case Float:
		var err error
		if f.flo, err = bound(f.Min, parseFloat); err != nil {
			return err
		}
		if f.fhi, err = bound(f.Max, parseFloat); err != nil {
			return err
		}
		if f.flo != nil && f.fhi != nil && *f.flo > *f.fhi {
			return fmt.Errorf("min %s is above max %s", f.Min, f.Max)
		}
		return nil
	}
	parse := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	lo, hi := "", ""
	switch f.Type {
	case Duration:
		parse = func(s string) (int64, error) { d, err := parseDuration(s); return int64(d), err }
		lo = "0s"
	case Size:
		parse, lo = parseSize, "0"
	case String:
		lo, hi = "0", strconv.Itoa(maxText)
	case Strings, Map:
		lo, hi = "0", strconv.Itoa(maxItems)
	}
	if f.Min != "" {
		lo = f.Min
	}
	if f.Max != "" {
		hi = f.Max
	}
	var err error
	if f.lo, err = bound(lo, parse); err != nil {
		return err
	}
	if f.hi, err = bound(hi, parse); err != nil {
		return err
	}
	if f.lo != nil && f.hi != nil && *f.lo > *f.hi {
		return fmt.Errorf("min %s is above max %s", lo, hi)
	}
	return nil
}

func bound[T any](text string, parse func(string) (T, error)) (*T, error) {
	if text == "" {
		return nil, nil
	}
	v, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("bound %s: %w", printable(text), err)
	}
	return &v, nil
}

func joinPath(first string, rest ...string) string {
	return strings.Join(append([]string{first}, rest...), delim)
}

func validSection(name string) error {
	if len(name) > maxNameLength || !isName(name, true) {
		return fmt.Errorf("section name %s is not lower case letters, digits, \"_\" and \"-\", at most %d", printable(name), maxNameLength)
	}
	return nil
}
