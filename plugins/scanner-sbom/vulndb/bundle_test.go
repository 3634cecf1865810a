package vulndb_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jedisct1/go-minisign"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// What minisign 0.11 signed with another key: the text below, prehashed.
const (
	minisignText = "the bytes of a plugin\n"
	minisignKey  = "RWRVnpHfFNax5UyM+Iy5Okv5+ldDOykAGNe2vo8lKNHDKtYKPC3/Fkng"
	minisignSig  = `untrusted comment: signature from minisign secret key
RURVnpHfFNax5W5BfmUsjpTTV+8IssAo7i1VUqIhKwNQvNyq429X4/Vrg50vyozKiKa5XrwnJM6VIL9RNaYWys7kUf+ovxBMeA0=
trusted comment: parser-acme 1.2.3
xBo//FgKTwpjjaYjgV9YBRYc+G/P27JooSKqHSOaUrm0ExoQvprFqWcGYonStc8KwoZESrO6vJvS8/AcIa1iAA==
`
)

// signer is a key of the test's own.
func signer(t *testing.T) (minisign.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{1, 2, 3}}
	copy(key.SecretKey[:], private)
	raw := append([]byte{'E', 'd', 1, 2, 3, 0, 0, 0, 0, 0}, public...)
	return key, base64.StdEncoding.EncodeToString(raw)
}

func sign(t *testing.T, key minisign.PrivateKey, data []byte, hashed bool) []byte {
	t.Helper()
	s, err := key.Sign(data, minisign.SignOptions{Hashed: hashed, TrustedComment: "built on Monday"})
	if err != nil {
		t.Fatal(err)
	}
	return s.Encode()
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vulndb")
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	build := func(name, id string, at time.Time) []byte {
		t.Helper()
		path := filepath.Join(dir, name)
		load(t, path, vulndb.Options{Now: at}, source(t, "first", map[string]string{"1.json": record(id, "one", "1.0.0")}))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	older, newer := build("older", "A-1", monday), build("newer", "A-2", monday.AddDate(0, 0, 1))
	key, public := signer(t)
	other, _ := signer(t)
	keys, err := vulndb.ParseKeys([]string{minisignKey, public})
	if err != nil {
		t.Fatal(err)
	}
	b, err := vulndb.Install(t.Context(), path, bytes.NewReader(newer), sign(t, key, newer, true), keys, vulndb.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Comment != "built on Monday" || b.Key != "0000000000030201" || b.Records != 1 || !b.Built.Equal(monday.AddDate(0, 0, 1)) {
		t.Errorf("got %+v", b)
	}
	damaged := bytes.Clone(newer)
	damaged[len(magicBytes)+9] ^= 1
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx       context.Context
		data      []byte
		signature []byte
		want      error
	}{
		"other bytes":         {t.Context(), damaged, sign(t, key, newer, true), vulndb.ErrUnsigned},
		"other key, one id":   {t.Context(), newer, sign(t, other, newer, true), vulndb.ErrUnsigned},
		"legacy form":         {t.Context(), newer, sign(t, key, newer, false), vulndb.ErrUnsigned},
		"no signature":        {t.Context(), newer, nil, vulndb.ErrUnsigned},
		"signed, but damaged": {t.Context(), damaged, sign(t, key, damaged, true), vulndb.ErrDamaged},
		"signed, but cut":     {t.Context(), newer[:100], sign(t, key, newer[:100], true), vulndb.ErrDamaged},
		"signed text":         {t.Context(), []byte(minisignText), []byte(minisignSig), vulndb.ErrDamaged},
		"other comment":       {t.Context(), []byte(minisignText), []byte(strings.Replace(minisignSig, "1.2.3", "1.2.4", 1)), vulndb.ErrUnsigned},
		"older":               {t.Context(), older, sign(t, key, older, true), vulndb.ErrOlder},
		"cancelled":           {cancelled, newer, sign(t, key, newer, true), context.Canceled},
	} {
		if _, err := vulndb.Install(test.ctx, path, bytes.NewReader(test.data), test.signature, keys, vulndb.InstallOptions{}); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, newer) {
			t.Fatalf("%s: the database is another: %v", name, err)
		}
	}
	if left, err := filepath.Glob(path + ".new*"); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if _, err := vulndb.Install(t.Context(), path, bytes.NewReader(older), sign(t, key, older, true), keys, vulndb.InstallOptions{AllowOlder: true}); err != nil {
		t.Errorf("an older one, allowed: %v", err)
	}
	if _, err := vulndb.Install(t.Context(), path, bytes.NewReader(older), sign(t, key, older, true), vulndb.Keys{}, vulndb.InstallOptions{}); !errors.Is(err, vulndb.ErrUnsigned) {
		t.Errorf("nobody is trusted: got %v", err)
	}
	for _, text := range []string{"", "x", minisignKey[:50]} {
		if _, err := vulndb.ParseKeys([]string{text}); !errors.Is(err, vulndb.ErrKey) {
			t.Errorf("key %q: got %v, want ErrKey", text, err)
		}
	}
}

const magicBytes = "IPVULN\x00\x01"
