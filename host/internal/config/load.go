package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Options say what Load reads. The zero Options give the defaults.
type Options struct {
	// File is the path of ironpost.toml; "" reads none.
	File string
	// Optional accepts that File does not exist, which is right for the
	// standard place and wrong for a path that a person named.
	Optional bool
	// Env is the environment as os.Environ gives it; nil is an empty one. Load
	// keeps it, for the "env:" references of secrets.
	Env []string
	// ReservedEnv names variables that begin with IRONPOST_ and are not
	// configuration, so that they are not reported.
	ReservedEnv []string
	// Flags are the values of the command line.
	Flags []Flag
	// Paths replaces the defaults that depend on who runs the host.
	Paths Paths
	// Known are the sections of the plugins.
	Known []Section
	// Strict makes every problem an error, as `ironpost config validate`
	// wants it: warnings, and problems of a single plugin's section.
	Strict bool
}

// Flag is a value that the command line gave.
type Flag struct {
	// Name is the flag as it was written, as --data-dir.
	Name string
	// Key is the key that it sets, as general.data_dir.
	Key string
	// Value is the text of the flag, or a value of the key's Go type.
	Value any
}

// loader is the state of one Load.
type loader struct {
	schema   *schema
	k        *koanf.Koanf
	origins  map[string]Origin
	problems collector
	unknown  []UnknownSection
}

// Load reads the configuration. The error, when there is one, is of type
// Problems and holds everything that was found, warnings too; it is returned
// when the file can not be read, when a section of the host has a problem, and
// with Strict when there is any problem at all. Otherwise the problems that
// are left, all of them warnings or a plugin's, are in Config.Problems.
func Load(o Options) (*Config, error) {
	l := &loader{k: koanf.New(delim), origins: make(map[string]Origin)}
	l.schema = newSchema(HostSections(), o.Known, &l.problems)
	o.Paths.apply(l.schema, &l.problems)
	host, err := l.merge(o)
	if err != nil {
		// The providers used here read memory and do not fail.
		return nil, fmt.Errorf("merge configuration: %w", err)
	}
	problems := l.problems.sorted()
	if o.Strict && len(problems) > 0 || problems.Of(HostOwner) != nil {
		return nil, problems
	}
	return &Config{
		schema: l.schema, k: l.k, origins: l.origins, host: host,
		problems: problems, unknown: l.unknown, lookup: lookupIn(slices.Clone(o.Env)),
	}, nil
}

// merge loads the layers, weakest first, and decodes the host's own sections.
func (l *loader) merge(o Options) (Host, error) {
	var host Host
	defaults := make(map[string]any)
	for _, s := range l.schema.sections {
		for _, f := range s.fields {
			defaults[f.path] = f.def
			l.origins[f.path] = Origin{Kind: FromDefault}
		}
	}
	if err := l.k.Load(confmap.Provider(defaults, delim), nil); err != nil {
		return host, err
	}
	if err := l.k.Load(confmap.Provider(l.readFile(o.File, o.Optional), delim), nil); err != nil {
		return host, err
	}
	strays, err := l.readEnv(o.Env)
	if err != nil {
		return host, err
	}
	if err := l.k.Load(confmap.Provider(l.readFlags(o.Flags), delim), nil); err != nil {
		return host, err
	}
	l.reportStrays(strays, o.ReservedEnv)

	if err := l.k.Unmarshal("", &host); err != nil {
		return host, err
	}
	host.Plugins.EnabledSet = l.origins[joinPath("plugins", "enabled")].Kind != FromDefault
	for _, p := range host.Validate() {
		p.Origin = l.origins[strings.ReplaceAll(p.Key, ".", delim)]
		l.problems.add(p)
	}
	return host, nil
}

// readFile returns the layer of the file, by path.
func (l *loader) readFile(name string, optional bool) map[string]any {
	layer := make(map[string]any)
	if name == "" {
		return layer
	}
	if _, err := os.Stat(name); optional && os.IsNotExist(err) {
		return layer
	}
	doc, bad := readDocument(name)
	if bad != nil {
		l.problems.add(*bad)
		return layer
	}
	l.checkDocument(doc, layer)
	return layer
}

// readFlags returns the layer of the command line, by path.
func (l *loader) readFlags(flags []Flag) map[string]any {
	layer := make(map[string]any)
	for _, flag := range flags {
		o := Origin{Kind: FromFlag, Name: flag.Name}
		name, _, _ := strings.Cut(flag.Key, ".")
		s := l.schema.byName[name]
		var f *field
		if s != nil {
			f = s.byPath[strings.ReplaceAll(flag.Key, ".", delim)]
		}
		if f == nil {
			l.problems.add(Problem{Origin: o, Key: printable(flag.Key), Owner: HostOwner, Message: "the flag sets a key that does not exist"})
			continue
		}
		var v any
		var fault *fault
		if text, ok := flag.Value.(string); ok {
			v, fault = f.fromText(text)
		} else {
			v, fault = f.value(flag.Value)
		}
		if fault != nil {
			l.problems.add(f.problem(o, fault))
			continue
		}
		layer[f.path], l.origins[f.path] = v, o
	}
	return layer
}

// problem words a fault of f.
func (f *field) problem(o Origin, bad *fault) Problem {
	key := f.fullKey()
	if bad.item != "" {
		if f.Type == Strings {
			key += "[" + bad.item + "]"
		} else {
			key += "." + printable(bad.item)
		}
	}
	return Problem{Origin: o, Key: key, Owner: f.section.Owner, Message: bad.message, Allowed: bad.allowed, Hint: bad.hint}
}
