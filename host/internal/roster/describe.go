package roster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// description is what is kept of a plugin's answer, by digest.
type description struct {
	Host  string `json:"host"` // version of the host that asked
	Bytes []byte `json:"description"`
}

// examine imports a candidate, which leaves p.exe for the caller to close, and has it
// describe itself. What goes wrong becomes its refusal.
func (r *Roster) examine(ctx context.Context, p *plugin) {
	digest, exe, err := r.config.Memory.Import(r.copies, p.path)
	if err != nil {
		p.refusal = asRefusal(err, "a file that the host can copy", "ls -l "+catalog.Quote(p.path))
		return
	}
	p.digest, p.exe = digest, exe
	if p.refusal = r.checkSignature(p, exe); p.refusal != nil {
		p.desc = r.remembered(digest) // nobody trusts it enough to run it
		return
	}
	r.describe(ctx, p, exe)
}

// describe asks what the copy of a candidate is, unless these bytes have said it
// before.
func (r *Roster) describe(ctx context.Context, p *plugin, exe *os.File) {
	if d := r.remembered(p.digest); d != nil {
		p.desc = d
		return
	}
	p.asked = true
	d, err := r.ask(ctx, p, exe)
	if err != nil {
		p.refusal = r.describeRefusal(p, err)
		return
	}
	if err := validate(d); err != nil {
		p.refusal = catalog.NewRefusal(catalog.BadDescription, err.Error(), "a description that holds to docs/plugin-guide.md", "ironpost plugin describe "+catalog.Quote(p.path))
		return
	}
	p.desc = d
	if b, err := proto.Marshal(d); err == nil {
		if err := r.known.Put(p.digest, description{r.config.Version, b}); err != nil {
			r.log.Warn("a description is not remembered", "plugin", d.Name, "error", err)
		}
	}
}

// remembered returns the description that these bytes gave before.
func (r *Roster) remembered(digest string) *pb.Description {
	kept, ok, err := r.known.Get(digest)
	if err != nil || !ok || kept.Host != r.config.Version {
		return nil
	}
	d := new(pb.Description)
	if proto.Unmarshal(kept.Bytes, d) != nil || validate(d) != nil {
		return nil
	}
	return d
}

// ask runs the candidate in the strictest sandbox and asks what it is.
func (r *Roster) ask(ctx context.Context, p *plugin, exe *os.File) (*pb.Description, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Plugins.DescribeTimeout, link.ErrTimeout)
	defer cancel()
	uid, err := r.user("describe:" + p.file)
	if err != nil {
		return nil, err
	}
	conn, err := link.Start(ctx, link.Config{
		Launcher: r.config.Launcher,
		Spec: sandbox.Spec{
			Name: p.file, Exe: exe, Path: p.path, Env: r.environment(), UID: uid, GID: uid,
			// An interpreted plugin cannot even start without these.
			BaseRead: true, MaxMemory: config.DefaultMemoryBytes,
		},
		RunDir:       r.config.RunDir,
		Logger:       r.logger(p.file, fromPlugin),
		StartTimeout: r.config.Plugins.DescribeTimeout,
		Pool:         r.config.Pool,
	})
	if err != nil {
		return nil, err
	}
	defer conn.Kill()
	return conn.Describe(ctx)
}

func (r *Roster) describeRefusal(p *plugin, err error) *catalog.Refusal {
	observed, file := err.Error(), catalog.Quote(p.path)
	switch {
	case errors.Is(err, link.ErrAPI):
		return catalog.NewRefusal(catalog.APINotServed, observed, fmt.Sprintf("API %d to %d", pb.OldestAPI, pb.API),
			"ironpost plugin install --replace NEWFILE  # a build for this host")
	case errors.Is(err, link.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return catalog.NewRefusal(catalog.NotDescribed, observed, fmt.Sprintf("an answer within %v", r.config.Plugins.DescribeTimeout), "ironpost plugin test "+file)
	case errors.Is(err, link.ErrNotPlugin):
		return catalog.NewRefusal(catalog.NotAPlugin, observed, "the handshake as the first line on standard output", "rm "+file)
	}
	return catalog.NewRefusal(catalog.NotAPlugin, observed, "a program that answers Describe", "rm "+file)
}

var (
	validName    = regexp.MustCompile(`^[a-z][a-z0-9-]{1,47}$`)
	validFormat  = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,47}$`)
	validSection = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)
)

// maxDescribed bounds the lists in a description.
const maxDescribed = 256

// validate refuses a description that the host could not work with.
func validate(d *pb.Description) error {
	switch {
	case !validName.MatchString(d.Name):
		return fmt.Errorf("name %q: want 2 to 48 lower-case letters, digits and hyphens", d.Name)
	case d.Api < pb.OldestAPI || d.Api > pb.API:
		return fmt.Errorf("API %d: this host serves %d to %d", d.Api, pb.OldestAPI, pb.API)
	case len(d.Kinds) == 0:
		return errors.New("no kind")
	case len(d.Version) > 64 || len(d.Summary) > 512:
		return errors.New("version or summary is too long")
	case len(d.Config) > maxDescribed || len(d.Bundles) > 16 || len(d.Consumes) > 16:
		return errors.New("too many configuration keys, bundles or kinds of event")
	case slices.Contains(d.Kinds, "parser") && !validFormat.MatchString(d.Format):
		return fmt.Errorf("format %q of the parser: want lower-case letters, digits, _ . -", d.Format)
	}
	if err := validServices(d.Permissions); err != nil {
		return err
	}
	for i, k := range d.Kinds {
		if !slices.Contains(flow, k) || slices.Contains(d.Kinds[:i], k) {
			return fmt.Errorf("kind %q: want each at most once, of %s", k, strings.Join(flow, ", "))
		}
	}
	if d.Section != "" {
		if !validSection.MatchString(d.Section) {
			return fmt.Errorf("section %q: want lower-case letters, digits and _", d.Section)
		}
		if slices.ContainsFunc(config.HostSections(), func(s config.Section) bool { return s.Name == d.Section }) {
			return fmt.Errorf("section %q belongs to the host", d.Section)
		}
		if err := sectionOf(d).Validate(); err != nil {
			return fmt.Errorf("section %s: %w", d.Section, err)
		}
	}
	return nil
}

// sectionOf returns the declaration of the plugin's section.
func sectionOf(d *pb.Description) config.Section {
	s := config.Section{Name: d.Section, Owner: d.Name}
	for _, f := range d.Config {
		s.Fields = append(s.Fields, config.Field{
			Key:     f.Key,
			Type:    config.Type(strings.ToLower(strings.TrimPrefix(f.Type.String(), "TYPE_"))),
			Default: f.Default,
			Min:     f.Min,
			Max:     f.Max,
			Enum:    f.Allowed,
			Help:    f.Help,
			Secret:  f.Secret,
		})
	}
	return s
}
