package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/jedisct1/go-minisign"
)

// SignatureSuffix is added to a plugin's file name to give that of its signature.
const SignatureSuffix = ".minisig"

// maxSignature bounds a signature file, in bytes; minisign's own are below 9 KiB.
const maxSignature = 16 << 10

// ErrKey wraps what is wrong with a public key.
var ErrKey = errors.New("not a minisign public key")

// Keys are the public keys whose signatures are trusted. The zero value trusts nobody
// and asks for no signatures. Keys never change and may be used by several goroutines.
type Keys struct{ keys []minisign.PublicKey }

// ParseKeys reads public keys as the second line of a minisign.pub has them. The error wraps [ErrKey].
func ParseKeys(texts []string) (Keys, error) {
	var k Keys
	for _, text := range texts {
		key, err := minisign.NewPublicKey(text)
		if err != nil || key.SignatureAlgorithm != [2]byte{'E', 'd'} {
			return Keys{}, fmt.Errorf("%.80q: %w", text, ErrKey)
		}
		k.keys = append(k.keys, key)
	}
	return k, nil
}

// Empty reports whether no signature is asked for.
func (k Keys) Empty() bool { return len(k.keys) == 0 }

// String lists the keys by their ids, as minisign shows them.
func (k Keys) String() string {
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = keyID(key.KeyId)
	}
	return strings.Join(ids, ", ")
}

// Signature says who signed a plugin.
type Signature struct {
	// Key is the id of the key, as minisign shows it.
	Key string
	// Comment is the trusted comment, which the signature covers. It may hold any text.
	Comment string
}

// Verify checks the signature that lies beside the plugin at path, in path+".minisig", against
// the bytes of f, which are the ones that would be run. f has to be a file that only the
// host can change, such as one of the [Store]; its offset does not matter and stays. The refusal
// is [Unsigned] or [BadSignature], nil when one of the keys signed these bytes. Both forms of
// minisign's signatures are taken, prehashed and legacy.
func (k Keys) Verify(f *os.File, path string) (Signature, *Refusal) {
	at := path + SignatureSuffix
	wanted := "a signature by " + k.String()
	text, err := ReadSignature(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Signature{}, NewRefusal(Unsigned, "there is no "+at, wanted, "minisign -S -m "+Quote(path))
	}
	bad := func(format string, args ...any) (Signature, *Refusal) {
		return Signature{}, NewRefusal(BadSignature, at+" "+fmt.Sprintf(format, args...), wanted, "minisign -S -m "+Quote(path))
	}
	if err != nil {
		return bad("cannot be used: %v", err)
	}
	signature, err := minisign.DecodeSignature(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return bad("is no minisign signature")
	}
	for _, key := range k.keys {
		if key.KeyId != signature.KeyId {
			continue
		}
		content, release, err := mapped(f)
		if err != nil {
			return bad("cannot be compared: %v", err)
		}
		ok, err := key.Verify(content, signature)
		release()
		if err != nil || !ok {
			return bad("does not fit the bytes of %s", path)
		}
		return Signature{keyID(key.KeyId), strings.TrimPrefix(signature.TrustedComment, "trusted comment: ")}, nil
	}
	return bad("is by the key %s", keyID(signature.KeyId))
}

// ReadSignature returns the content of the signature file of the plugin at path, unchecked. The error
// wraps [fs.ErrNotExist] when there is none.
func ReadSignature(path string) ([]byte, error) {
	f, err := os.OpenFile(path+SignatureSuffix, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read the signature %s: not a regular file", f.Name())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	if err == nil && len(b) > maxSignature {
		err = fmt.Errorf("larger than %d bytes", maxSignature)
	}
	if err != nil {
		return nil, fmt.Errorf("read the signature %s: %w", f.Name(), err)
	}
	return b, nil
}

// keyID is how minisign shows the id of a key: as a little-endian number.
func keyID(id [8]byte) string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }
