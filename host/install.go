package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrTaken is wrapped when a plugin cannot be installed because of one that is
// there.
var ErrTaken = errors.New("the name is taken")

// ErrShipped is wrapped when something would be done to a plugin that was built
// with the host.
var ErrShipped = errors.New("the plugin was built with the host")

// InstallConfig says what to install and where.
type InstallConfig struct {
	Sources
	// Trust is what a running host holds plugins to, nil when none runs.
	Trust *pb.PluginTrustResponse
	File  string
	// Dir is the plugin directory; "" is the one of the plugin that is replaced,
	// or the first that exists.
	Dir string
	// Replace allows another plugin of that name to be replaced, Force also one
	// that was built with the host.
	Replace, Force bool
	// NoEnable only puts the file there.
	NoEnable bool
	// Confirm is shown the plan before anything is changed; its error ends the
	// installation. It may be nil.
	Confirm func(*pb.PluginInstallation) error
	// Enable has the running host enable exactly these bytes; nil writes the pin
	// for the next start of a host.
	Enable func(ctx context.Context, name, digest string) (*pb.PluginInfoResponse, error)
	Stderr io.Writer
}

// InstallPlugin looks at a file, shows what it asks for, copies it into a plugin
// directory with the rights of the caller, and enables it. It is all or nothing:
// when the host does not take the plugin, what was there before is put back.
// The bytes that were looked at are those that are installed and enabled.
func InstallPlugin(ctx context.Context, c InstallConfig) (*pb.PluginInstallation, error) {
	source, err := regularFile(c.File)
	if err != nil {
		return nil, err
	}
	write := !c.NoEnable && c.Enable == nil
	t, err := openTrust(ctx, c.Sources, c.Trust, write, c.Stderr)
	if err != nil {
		return nil, err
	}
	defer t.close(ctx)
	found := t.roster.Examine(ctx, source)
	if found.Refusal != nil {
		return nil, fmt.Errorf("%s is refused: %w", source, found.Refusal)
	}
	plan := &pb.PluginInstallation{
		Name: found.Description.Name, Version: found.Description.Version, Sha256: found.Digest,
		Signature: found.Signature, Permissions: found.Description.Permissions,
	}
	if plan.Permissions == nil {
		plan.Permissions = new(pb.Permissions)
	}
	if err := t.place(ctx, c, plan); err != nil {
		return nil, err
	}
	for _, pin := range t.rules.Pins {
		if pin.Name == plan.Name {
			plan.Added = more(plan.Permissions, pin.Granted)
		}
	}
	if c.Confirm != nil {
		if err := c.Confirm(plan); err != nil {
			return nil, err
		}
	}
	return plan, t.install(ctx, c, plan, source)
}

// place decides where the plugin goes, and whether it may.
func (t *trustWork) place(ctx context.Context, c InstallConfig, plan *pb.PluginInstallation) error {
	dir, err := t.directory(c.Dir)
	if err != nil {
		return err
	}
	plan.Path = filepath.Join(dir, plan.Name)
	there, err := t.inspect(ctx)
	if err != nil {
		return err
	}
	var old *inspected
	for _, f := range there {
		if f.item.Name != plan.Name && f.item.Path != plan.Path {
			continue
		}
		if old == nil || old.decision.State == catalog.Refused {
			old = f
		}
	}
	if old == nil {
		return nil
	}
	policy, err := t.policy()
	if err != nil {
		return err
	}
	_, listed := policy.Sums[old.item.File]
	switch {
	case old.item.Digest == plan.Sha256:
	case !c.Replace:
		return fmt.Errorf("%w: %s is the name of %s; to replace it: --replace", ErrTaken, plan.Name, old.item.Path)
	case listed && !c.Force:
		return fmt.Errorf("%w: %s belongs to the installation of Ironpost; give your plugin another name, or replace it with --replace --force",
			ErrShipped, old.item.Path)
	}
	if c.Dir != "" && filepath.Dir(old.item.Path) != dir {
		return fmt.Errorf("%w: %s is the name of %s, which is in another directory; first: ironpost plugin remove %s",
			ErrTaken, plan.Name, old.item.Path, catalog.Quote(plan.Name))
	}
	plan.Path, plan.Replaces = old.item.Path, old.item.Digest
	return nil
}

// directory returns the plugin directory to install into. One that the host does
// not look into is refused.
func (t *trustWork) directory(wanted string) (string, error) {
	dirs := t.rules.Dirs
	if wanted != "" {
		abs := absolute([]string{wanted})[0]
		if !slices.Contains(dirs, abs) {
			return "", fmt.Errorf("%w: %s is no plugin directory of this host; it looks into %v (plugins.dirs)", ErrInvalid, wanted, dirs)
		}
		return abs, nil
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	if len(dirs) == 0 {
		return "", fmt.Errorf("%w: plugins.dirs names no directory", ErrInvalid)
	}
	return "", fmt.Errorf("%w: there is no plugin directory; run: install -d -m 0755 %s", ErrInvalid, catalog.Quote(dirs[len(dirs)-1]))
}

// install copies and enables.
func (t *trustWork) install(ctx context.Context, c InstallConfig, plan *pb.PluginInstallation, source string) error {
	// It goes with the file also where nobody asks for it yet.
	signature, err := catalog.ReadSignature(source)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	exe, err := t.roster.Copy(plan.Sha256)
	if err != nil {
		return err
	}
	defer exe.Close()
	placement, err := catalog.Place(exe, plan.Sha256, signature, plan.Path, t.options())
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run it as a user who may write there, such as with sudo", err)
	}
	if err != nil {
		return fmt.Errorf("%s cannot lie there: %w", plan.Path, err)
	}
	if err := t.enable(ctx, c, plan); err != nil {
		return errors.Join(err, placement.Undo())
	}
	return placement.Keep()
}

// enable has the installed bytes run, at once or at the next start.
func (t *trustWork) enable(ctx context.Context, c InstallConfig, plan *pb.PluginInstallation) error {
	switch {
	case c.NoEnable:
		plan.State = string(catalog.Discovered)
		return nil
	case c.Enable == nil:
		plan.State = string(catalog.Enabled)
		return t.roster.Pin(plan.Name, plan.Sha256, plan.Permissions)
	}
	info, err := c.Enable(ctx, plan.Name, plan.Sha256)
	if err != nil {
		return fmt.Errorf("enable %s: %w", plan.Name, err)
	}
	plan.State, plan.Code = info.GetStatus().GetState(), info.GetStatus().GetCode()
	return nil
}

// more names what is asked for and was not granted before.
func more(asked, before *pb.Permissions) []string {
	had := view.Permissions(before)
	return slices.DeleteFunc(view.Permissions(asked), func(p string) bool { return slices.Contains(had, p) })
}

// RemoveConfig says what to remove, without a running host.
type RemoveConfig struct {
	Sources
	Name string
	// Force also removes what was built with the host.
	Force  bool
	Stderr io.Writer
}

// ForgetPlugin deletes the pin and the grant of a plugin of a host that does
// not run. Its file stays: see DeletePlugin.
func ForgetPlugin(ctx context.Context, c RemoveConfig) (*pb.RemovePluginResponse, error) {
	t, err := openTrust(ctx, c.Sources, nil, true, c.Stderr)
	if err != nil {
		return nil, err
	}
	defer t.close(ctx)
	r, err := t.roster.Remove(ctx, c.Name, c.Force)
	return r, wrap(err)
}

// DeletePlugin deletes the file of a plugin, and its signature, with the rights
// of the caller.
func DeletePlugin(path string) error { return catalog.Unplace(path) }
