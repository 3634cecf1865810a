package vulndb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jedisct1/go-minisign"
	"golang.org/x/crypto/blake2b"
)

// SignatureSuffix is added to the name of a bundle to give that of its signature, which
// minisign makes: minisign -S -m vulndb.
const SignatureSuffix = ".minisig"

// Bounds of a bundle, in bytes.
const (
	maxSignature = 16 << 10
	maxBundle    = 8 << 30
)

// What is wrong with a bundle.
var (
	// ErrKey says that a text is no public key of minisign.
	ErrKey = errors.New("not a minisign public key")
	// ErrUnsigned says that nobody who is trusted signed these bytes.
	ErrUnsigned = errors.New("not signed by a trusted key")
	// ErrOlder says that a bundle is older than what is there: an attacker may offer
	// an old one, which was signed once, to hide what was found since.
	ErrOlder = errors.New("older than the vulnerability database that is there")
)

// Keys are the public keys whose signatures are trusted. The zero value trusts nobody.
// Keys never change.
type Keys struct{ keys []minisign.PublicKey }

// ParseKeys reads public keys as the second line of a minisign.pub has them. The error wraps [ErrKey].
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	for _, text := range texts {
		key, err := minisign.NewPublicKey(strings.TrimSpace(text))
		if err != nil || key.SignatureAlgorithm != [2]byte{'E', 'd'} {
			return Keys{}, fmt.Errorf("%.80q: %w", text, ErrKey)
		}
		k.keys = append(k.keys, key)
	}
	return k, nil
}

// Bundle says what was installed.
type Bundle struct {
	// Key is the id of the key that signed it, as minisign shows it, and Comment what
	// the signer wrote under the signature.
	Key     string    `json:"key"`
	Comment string    `json:"comment"`
	Built   time.Time `json:"built"`
	Records int       `json:"records"`
	// Signature is the whole of what was verified.
	Signature string `json:"signature"`
}

// InstallOptions are how to install a bundle.
type InstallOptions struct {
	// AllowOlder takes a bundle that is older than what is there.
	AllowOlder bool
}

// Install puts a bundle, a database that was built and signed elsewhere, in the place of
// the one at path. It is copied, the copy is compared with signature (the content of the .minisig file)
// and read to its end; only then it is renamed. The one at path stays when there is an error,
// which wraps [ErrUnsigned], [ErrDamaged] or [ErrOlder]. Signatures have to be of the
// prehashed form, the default of minisign since 0.10.
func Install(ctx context.Context, path string, bundle io.Reader, signature []byte, keys Keys, o InstallOptions) (Bundle, error) {
	unlock, err := exclusive(ctx, path)
	if err != nil {
		return Bundle{}, err
	}
	defer unlock()
	var b Bundle
	err = replace(path, func(out *os.File) error {
		digest, err := blake2b.New512(nil)
		if err != nil {
			return fmt.Errorf("start the digest: %w", err)
		}
		n, err := io.Copy(io.MultiWriter(out, digest), io.LimitReader(interrupted(ctx, bundle), maxBundle+1))
		if err != nil {
			return fmt.Errorf("copy the bundle: %w", err)
		}
		if n > maxBundle {
			return fmt.Errorf("a bundle of more than %d bytes", int64(maxBundle))
		}
		// What is signed is known before anything of the content is looked at.
		if b.Key, b.Comment, err = keys.verify(digest.Sum(nil), signature); err != nil {
			return err
		}
		if err := b.accept(ctx, path, out.Name(), o); err != nil {
			return err
		}
		return unsign(path)
	})
	if err != nil {
		return Bundle{}, fmt.Errorf("install the bundle: %w", err)
	}
	b.Signature = string(signature)
	return b, writeSignature(path, signature)
}

// Signed returns the signature of the bundle that is at path as it was installed, "" when there
// is none: nobody looks whether it fits.
func Signed(path string) string {
	f, err := os.Open(path + SignatureSuffix)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	if err != nil || len(text) > maxSignature {
		return ""
	}
	return string(text)
}

// Signer tells who a signature says that it is by, and the comment; nobody looks whether it
// fits anything.
func Signer(signature string) (key, comment string) {
	s, err := minisign.DecodeSignature(strings.ReplaceAll(strings.TrimRight(signature, "\r\n"), "\r\n", "\n"))
	if err != nil {
		return "", ""
	}
	return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(s.KeyId[:])), strings.TrimPrefix(s.TrustedComment, "trusted comment: ")
}

// writeSignature keeps the signature of what was installed. Without it the same bundle is installed
// again, which does no harm.
func writeSignature(path string, signature []byte) error {
	if err := os.WriteFile(path+SignatureSuffix, signature, 0o644); err != nil { //nolint:gosec // public knowledge
		return errors.Join(fmt.Errorf("keep the signature: %w", err), unsign(path))
	}
	return nil
}

// unsign removes the signature of what is about to change.
func unsign(path string) error {
	if err := os.Remove(path + SignatureSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old signature: %w", err)
	}
	return nil
}

// accept reads what was copied to its end and compares its age with that of the old.
func (b *Bundle) accept(ctx context.Context, path, copied string, o InstallOptions) error {
	db, err := Open(copied)
	if err != nil {
		return err
	}
	defer db.done()
	if err := db.Check(ctx); err != nil {
		return err
	}
	b.Built, b.Records = db.Meta().Built, db.Records()
	if o.AllowOlder {
		return nil
	}
	old, err := Open(path)
	if err != nil {
		return nil //nolint:nilerr // none, or one that is of no use
	}
	defer old.done()
	if b.Built.Before(old.Meta().Built) {
		return fmt.Errorf("built %s, the other %s: %w", b.Built.Format(time.RFC3339), old.Meta().Built.Format(time.RFC3339), ErrOlder)
	}
	return nil
}

// verify checks a signature of a BLAKE2b digest.
func (k Keys) verify(digest, signature []byte) (key, comment string, err error) {
	if len(signature) > maxSignature {
		return "", "", fmt.Errorf("a signature of %d bytes: %w", len(signature), ErrUnsigned)
	}
	text := strings.ReplaceAll(strings.TrimRight(string(signature), "\r\n"), "\r\n", "\n")
	s, err := minisign.DecodeSignature(text)
	if err != nil {
		return "", "", fmt.Errorf("not a minisign signature: %w", ErrUnsigned)
	}
	if s.SignatureAlgorithm != [2]byte{'E', 'D'} {
		return "", "", fmt.Errorf("a signature of the legacy form (sign with minisign 0.10 or newer): %w", ErrUnsigned)
	}
	id := fmt.Sprintf("%016X", binary.LittleEndian.Uint64(s.KeyId[:]))
	// A prehashed signature is a legacy one of the digest.
	s.SignatureAlgorithm = [2]byte{'E', 'd'}
	for i := range k.keys {
		if k.keys[i].KeyId != s.KeyId {
			continue
		}
		if ok, err := k.keys[i].Verify(digest, s); err != nil || !ok {
			return "", "", fmt.Errorf("the signature by %s does not fit the bytes: %w", id, ErrUnsigned)
		}
		return id, strings.TrimPrefix(s.TrustedComment, "trusted comment: "), nil
	}
	return "", "", fmt.Errorf("signed by %s: %w", id, ErrUnsigned)
}

// reader makes a function a stream.
type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

// interrupted is a stream that ends when the context does.
func interrupted(ctx context.Context, r io.Reader) io.Reader {
	return reader(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}
