package roster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/catalog"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Errors about the bytes of a plugin, for branching.
var (
	// ErrOtherBytes: the plugin has other bytes than the caller looked at.
	ErrOtherBytes = errors.New("the plugin has other bytes than those that were looked at")
	// ErrShipped: the plugin was built with the host.
	ErrShipped = errors.New("the plugin was built with the host")
)

// signing is what a signature was checked against, so that it is checked again
// when the keys or its file change.
type signing struct {
	by    *catalog.Signature // nil where no signature is asked for
	state string
}

// String is "key ID (trusted comment)", "" when nobody signed.
func (s signing) String() string {
	if s.by == nil {
		return ""
	}
	return fmt.Sprintf("key %s (%s)", s.by.Key, s.by.Comment)
}

// keys are the trusted keys in force.
func (r *Roster) keys() (catalog.Keys, error) {
	r.mu.RLock()
	texts := r.config.Plugins.TrustedKeys
	r.mu.RUnlock()
	return catalog.ParseKeys(texts)
}

// signingState changes whenever a signature has to be checked again.
func signingState(keys catalog.Keys, path string) string {
	if keys.Empty() {
		return ""
	}
	info, err := os.Stat(path + catalog.SignatureSuffix)
	if err != nil {
		return keys.String()
	}
	return fmt.Sprintf("%s %d %d", keys, info.Size(), info.ModTime().UnixNano())
}

// checkSignature returns nil when the plugin is signed as the trusted keys ask
// for, or was built with the host, and the refusal otherwise. exe is the copy
// that would be run.
func (r *Roster) checkSignature(p *plugin, exe *os.File) *catalog.Refusal {
	keys, err := r.keys()
	if err != nil { // the configuration was checked: this is a defect, and nothing runs for it
		return catalog.NewRefusal(catalog.BadSignature, err.Error(), "valid plugins.trusted_keys", "ironpost config validate")
	}
	p.signing = signing{state: signingState(keys, p.path)}
	if keys.Empty() || r.shipped(p) {
		return nil
	}
	by, refusal := keys.Verify(exe, p.path)
	if refusal != nil {
		return refusal
	}
	p.signing.by = &by
	return nil
}

// shipped reports whether these very bytes were built with the host.
func (r *Roster) shipped(p *plugin) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.digest != "" && r.sums[p.file] == p.digest
}

// signatureStands reports whether what is known of the signature still holds.
func (r *Roster) signatureStands(p *plugin) bool {
	keys, err := r.keys()
	return err == nil && p.signing.state == signingState(keys, p.path)
}

// unsigned are the running plugins whose signature does not hold any more.
func (r *Roster) unsigned() []*plugin {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*plugin
	for _, p := range r.plugins {
		run := r.running[p.name()]
		if p.refusal == nil || run == nil || p.supervisor != run.supervisor {
			continue
		}
		if code := p.refusal.Code; code == catalog.Unsigned || code == catalog.BadSignature {
			out = append(out, run)
		}
	}
	return out
}

// Examined is what Examine found out about a file.
type Examined struct {
	// Digest is the SHA-256 in lower-case hex, "" when the file could not be read.
	Digest string
	// Description is nil when the file could not be described.
	Description *pb.Description
	// Signature is "key ID (trusted comment)", "" where no keys are trusted.
	Signature string
	// Refusal says what is wrong, nil when nothing is. Owner, mode and path of
	// the file are not looked at: see catalog.Check.
	Refusal *catalog.Refusal
}

// Examine copies, hashes and describes one file, wherever it lies. It is run in
// the strictest sandbox alone, also when its signature is not in order.
func (r *Roster) Examine(ctx context.Context, path string) Examined {
	if err := r.loadSums(); err != nil {
		return Examined{Refusal: asRefusal(err, "a list of built plugins that can be read", "ls -l "+catalog.Quote(path))}
	}
	p := &plugin{file: filepath.Base(path), path: path}
	digest, exe, err := r.copies.Import(path)
	if err != nil {
		return Examined{Refusal: asRefusal(err, "a file that the host can copy", "ls -l "+catalog.Quote(path))}
	}
	defer exe.Close()
	p.digest = digest
	unsigned := r.checkSignature(p, exe)
	r.describe(ctx, p, exe)
	switch {
	case p.refusal == nil:
		p.refusal = unsigned
	case p.refusal.Code == catalog.NotAPlugin:
		// It may be any program: nobody is told to delete it.
		p.refusal.Mend = "ironpost plugin test " + catalog.Quote(path)
	}
	return Examined{Digest: digest, Description: p.desc, Signature: p.signing.String(), Refusal: p.refusal}
}

// Copy opens the copy that Examine made; the caller closes it.
func (r *Roster) Copy(digest string) (*os.File, error) { return r.copies.Open(digest) }

func (r *Roster) loadSums() error {
	sums, err := catalog.LoadSums(r.options)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums = sums
	return nil
}

// Sweep removes copies of plugins that are not there any more, and were not used
// for as long as age. Where other processes keep copies in the same directory, age
// has to be longer than they take.
func (r *Roster) Sweep(age time.Duration) error {
	r.change.Lock()
	defer r.change.Unlock()
	pins, err := r.pins.All()
	if err != nil {
		return fmt.Errorf("read the pins: %w", err)
	}
	used := make(map[string]bool)
	for _, pin := range pins {
		used[pin.Digest] = true
	}
	r.mu.RLock()
	for _, p := range r.plugins {
		used[p.digest] = true
	}
	for _, p := range r.running {
		used[p.digest] = true
	}
	r.mu.RUnlock()
	delete(used, "")
	now := time.Now()
	_, _, err = r.copies.Collect(func(digest string, last time.Time) bool { return used[digest] || now.Sub(last) < age })
	return err
}

// asRefusal returns the refusal in err, or makes one.
func asRefusal(err error, wanted, mend string) *catalog.Refusal {
	if refusal, ok := errors.AsType[*catalog.Refusal](err); ok {
		return refusal
	}
	return catalog.NewRefusal(catalog.Unreadable, err.Error(), wanted, mend)
}

// Pins returns what was enabled, by name.
func (r *Roster) Pins() ([]*pb.PluginPin, error) {
	pins, err := r.pins.All()
	if err != nil {
		return nil, fmt.Errorf("read the pins: %w", err)
	}
	var out []*pb.PluginPin
	for name, pin := range pins {
		granted := new(pb.Permissions)
		if len(pin.Grants) > 0 {
			if err := protojson.Unmarshal(pin.Grants, granted); err != nil {
				return nil, fmt.Errorf("read the grant of %s: %w", name, err)
			}
		}
		out = append(out, &pb.PluginPin{Name: name, Sha256: pin.Digest, Pinned: timestamppb.New(pin.At), Granted: granted})
	}
	slices.SortFunc(out, func(a, b *pb.PluginPin) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out, nil
}

// Pin records that these bytes may run under this name with these permissions,
// for the next start of a host; Enable is for a running one.
func (r *Roster) Pin(name, digest string, granted *pb.Permissions) error {
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.off.Delete(name); err != nil {
		return err
	}
	return r.pin(name, digest, granted, nil)
}

// Remove drains and ends a plugin, and forgets its pin and its grant. name is a
// name, a file's name or a path. The file stays: it is found again, and not run,
// until somebody deletes it. One that was built with the host is refused with
// ErrShipped unless force is set; it is disabled then, should its file come back.
//
// What shares its name with another candidate, such as a renamed copy, leaves
// the other's pin alone.
func (r *Roster) Remove(ctx context.Context, name string, force bool) (*pb.RemovePluginResponse, error) {
	if err := r.Scan(ctx); err != nil {
		return nil, err
	}
	r.mu.RLock()
	p := r.findAt(name)
	r.mu.RUnlock()
	if p == nil {
		return r.forget(name)
	}
	out := &pb.RemovePluginResponse{Name: p.name(), Path: p.path}
	r.mu.RLock()
	_, listed := r.sums[p.file]
	shared := slices.ContainsFunc(r.plugins, func(other *plugin) bool {
		return other.path != p.path && other.name() == p.name() && other.decision.State != catalog.Refused
	})
	r.mu.RUnlock()
	if listed && !force {
		return nil, fmt.Errorf("%w: %s belongs to the installation of Ironpost, which brings it back; to stop it for good: ironpost plugin disable %s (--force deletes its file)",
			ErrShipped, p.path, catalog.Quote(p.name()))
	}
	if shared {
		return out, nil
	}
	defer r.lock(p.name())()
	if run := r.runningPlugin(p.name()); run != nil {
		r.halt(run)
	}
	r.change.Lock()
	defer r.change.Unlock()
	_, pinned, err := r.pins.Get(p.name())
	if err != nil {
		return nil, err
	}
	out.Unpinned = pinned
	if err := r.pins.Delete(p.name()); err != nil {
		return nil, err
	}
	if listed {
		err = r.off.Put(p.name(), true)
	} else {
		err = r.off.Delete(p.name())
	}
	if err != nil {
		return nil, err
	}
	return out, r.redecide()
}

// forget deletes the pin of a plugin whose file is gone.
func (r *Roster) forget(name string) (*pb.RemovePluginResponse, error) {
	_, pinned, err := r.pins.Get(name)
	if err != nil {
		return nil, err
	}
	if !pinned {
		return nil, fmt.Errorf("%w: %s; ironpost plugin list shows them all", ErrNotFound, name)
	}
	if err := errors.Join(r.pins.Delete(name), r.off.Delete(name)); err != nil {
		return nil, err
	}
	return &pb.RemovePluginResponse{Name: name, Unpinned: true}, nil
}

// findAt is find, which also knows paths. r.mu is held.
func (r *Roster) findAt(name string) *plugin {
	if filepath.IsAbs(name) {
		for _, p := range r.plugins {
			if p.path == filepath.Clean(name) {
				return p
			}
		}
		return nil
	}
	return r.find(name)
}
