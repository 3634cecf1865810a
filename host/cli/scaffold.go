package cli

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// scaffolds holds a folder of templates for each kind of plugin, and one, "all",
// for every kind.
//
//go:embed all:scaffold
var scaffolds embed.FS

// scaffoldKinds are the kinds that plugin new knows, in the order of the flow.
func scaffoldKinds() []string {
	return []string{"source", "parser", "detector", "enforcer", "sink", "scanner"}
}

var pluginName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,47}$`)

func (c *cli) pluginNewCmd() *cobra.Command {
	var sdk string
	cmd := &cobra.Command{
		Use:   "new KIND NAME",
		Short: "Write the folder NAME with a plugin that builds and passes its tests",
		Long: `Writes a folder with a Go module of its own: a small plugin of the kind, a test that
holds it to its contract, and a README that says how to build and enable it. KIND is
` + strings.Join(scaffoldKinds(), ", ") + `.

It needs no network and runs no command. The module requires the release of Ironpost
that this program is; --sdk names a checkout to be used instead, with which it builds
and passes its tests at once.`,
		Example: `  ironpost plugin new parser parser-acme
  ironpost plugin new detector detector-acme --sdk ~/src/ironpost`,
		Args: between(2, 2, "KIND or NAME"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return scaffoldKinds(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := newScaffold(args[0], args[1], sdk)
			if err != nil {
				return err
			}
			if err := s.write(args[1]); err != nil {
				return fmt.Errorf("plugin new: %w", err)
			}
			return c.write([]byte(s.next()))
		},
	}
	cmd.Flags().StringVar(&sdk, "sdk", "", "checkout of Ironpost to build against, instead of a release")
	return cmd
}

// scaffold is what the templates are filled with.
type scaffold struct {
	Kind, Name, Module string
	// Short is the name without its kind, and Ident the same as a key.
	Short, Ident string
	// Version is the release that is required, SDK a checkout in its place or "".
	Version, SDK string
	Go           string
	// Requires are "PATH VERSION" of what the SDK needs.
	Requires  []string
	TestFlags string

	sums []byte // of go.sum; nil without SDK
}

// modulePath is that of the project.
const modulePath = "github.com/ironpost/ironpost"

// scaffoldGo is the language version of a module that requires a release.
const scaffoldGo = "1.26.0"

// newScaffold checks what the user gave. sdk may be "".
func newScaffold(kind, name, sdk string) (*scaffold, error) {
	if !slices.Contains(scaffoldKinds(), kind) {
		return nil, invalid("plugin new: kind %q is none of %s", kind, strings.Join(scaffoldKinds(), ", "))
	}
	if !pluginName.MatchString(name) || strings.HasSuffix(name, "-") {
		return nil, invalid("plugin new: name %q: want 2 to 48 lower-case letters, digits and hyphens, beginning with a letter", name)
	}
	short := strings.TrimPrefix(name, kind+"-")
	if short == "" || short[0] < 'a' {
		short = name
	}
	s := &scaffold{
		Kind: kind, Name: name, Module: "example.com/" + name, Short: short, Ident: strings.ReplaceAll(short, "-", "_"),
		Version: releaseVersion(), Go: scaffoldGo,
		TestFlags: map[string]string{
			"parser": " --lines testdata/lines.log", "detector": " --events testdata/events.ndjson", "enforcer": " --alerts testdata/alerts.ndjson",
			"source": " --set path=/tmp/feed --feed /tmp/feed", "scanner": " --target /etc/hosts",
		}[kind],
	}
	if slices.Contains([]string{"general", "plugins", "bus", "log_pipeline", "ebpf", "metrics", "control", "rules"}, s.Ident) {
		s.Ident = strings.ReplaceAll(name, "-", "_")
	}
	if sdk == "" {
		return s, nil
	}
	if err := s.useCheckout(sdk); err != nil {
		return nil, err
	}
	return s, nil
}

// releaseVersion is the release that this program is, v0.0.0 for one that is none.
func releaseVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(info.Main.Version) {
		return "v0.0.0"
	}
	return info.Main.Version
}

// sdkModules are the modules whose packages a plugin and its tests link, of all
// that the project requires.
func sdkModules() []string {
	return []string{
		"github.com/fatih/color", "github.com/golang/protobuf", "github.com/hashicorp/go-hclog", "github.com/hashicorp/go-plugin",
		"github.com/hashicorp/yamux", "github.com/mattn/go-colorable", "github.com/mattn/go-isatty", "github.com/oklog/run",
		"golang.org/x/net", "golang.org/x/sys", "golang.org/x/text", "google.golang.org/genproto/googleapis/rpc",
		"google.golang.org/grpc", "google.golang.org/protobuf",
	}
}

// useCheckout takes versions and sums from a checkout.
func (s *scaffold) useCheckout(dir string) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("plugin new: --sdk: %w", err)
	}
	mod, err := os.ReadFile(filepath.Join(absolute, "go.mod"))
	if err != nil {
		return invalid("plugin new: --sdk %s: %w", dir, err)
	}
	if strings.ContainsAny(absolute, " \t\n\"'`") {
		return invalid("plugin new: --sdk %s: go.mod cannot name a path with blanks or quotes", dir)
	}
	s.SDK = filepath.ToSlash(absolute)
	wanted := sdkModules()
	found := false
	for line := range strings.Lines(string(mod)) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		switch {
		case len(words) == 2 && words[0] == "module":
			found = words[1] == modulePath
		case len(words) == 2 && words[0] == "go":
			s.Go = words[1]
		case len(words) >= 2 && slices.Contains(wanted, words[0]):
			s.Requires = append(s.Requires, words[0]+" "+words[1])
		}
	}
	if !found {
		return invalid("plugin new: --sdk %s: its go.mod is not that of %s", dir, modulePath)
	}
	if s.sums, err = os.ReadFile(filepath.Join(absolute, "go.sum")); err != nil {
		return invalid("plugin new: --sdk %s: %w", dir, err)
	}
	return nil
}

// write makes the folder. One that exists already is left alone.
func (s *scaffold) write(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // sources are for everybody
		if errors.Is(err, fs.ErrExist) {
			return invalid("%s exists already; name another folder, or remove it", dir)
		}
		return err
	}
	for _, from := range []string{"all", s.Kind} {
		root := path.Join("scaffold", from)
		err := fs.WalkDir(scaffolds, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			to := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(strings.TrimSuffix(name, ".tmpl"), root)))
			if d.IsDir() {
				return os.MkdirAll(to, 0o755) //nolint:gosec // as above
			}
			if path.Base(name) == "gitignore.tmpl" {
				to = filepath.Join(dir, ".gitignore")
			}
			text, err := s.render(name)
			if err != nil {
				return err
			}
			return os.WriteFile(to, text, 0o644) //nolint:gosec // as above
		})
		if err != nil {
			return err
		}
	}
	if s.sums == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "go.sum"), s.sums, 0o644) //nolint:gosec // as above
}

func (s *scaffold) render(name string) ([]byte, error) {
	t, err := template.ParseFS(scaffolds, name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// next says what to do with the folder.
func (s *scaffold) next() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: a %s in a module of its own. Next:\n\n  cd %s\n", s.Name, s.Kind, s.Name)
	if s.SDK == "" {
		fmt.Fprintf(&b, "  go mod tidy        # needs a network and a release of Ironpost; with a checkout, before it:\n"+
			"                     #   go mod edit -replace %s=/path/to/ironpost\n", modulePath)
	}
	fmt.Fprintf(&b, "  go test ./...\n  CGO_ENABLED=0 go build -trimpath -o %s .\n  ironpost plugin test ./%s%s\n", s.Name, s.Name, s.TestFlags)
	return b.String()
}
