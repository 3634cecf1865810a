//go:build unix

package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What minisign 0.11 made: a key, and both forms of a signature of signedBytes.
const (
	signedBytes = "the bytes of a plugin\n"
	signingKey  = "RWRVnpHfFNax5UyM+Iy5Okv5+ldDOykAGNe2vo8lKNHDKtYKPC3/Fkng"
	// otherKey is the one in minisign's documentation.
	otherKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"

	prehashed = `untrusted comment: signature from minisign secret key
RURVnpHfFNax5W5BfmUsjpTTV+8IssAo7i1VUqIhKwNQvNyq429X4/Vrg50vyozKiKa5XrwnJM6VIL9RNaYWys7kUf+ovxBMeA0=
trusted comment: parser-acme 1.2.3
xBo//FgKTwpjjaYjgV9YBRYc+G/P27JooSKqHSOaUrm0ExoQvprFqWcGYonStc8KwoZESrO6vJvS8/AcIa1iAA==
`
	legacy = `untrusted comment: signature from minisign secret key
RWRVnpHfFNax5eJtWchjFNAgdiLPevFn20Jwh1LMwEpLXBOxZq0X9TEiNnfccpkQ8fY6/jVooyERp8xWeyKs2F3Orv6tkG2jZAs=
trusted comment: legacy form
Rwd4GpkkX03XJvPlTnVO4XJ0jMgCwyyzAtD+gYXTVVVDeLmP8oIH1gGHqtI26BAq/H72HmSYfLQudrxVHgwLCw==
`
)

func parseKeys(t testing.TB, texts ...string) Keys {
	t.Helper()
	keys, err := ParseKeys(texts)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestVerifySignature(t *testing.T) {
	flipped := strings.Replace(prehashed, "1.2.3", "1.2.4", 1)
	for _, tt := range []struct {
		name      string
		content   string
		signature string // "" is no file
		keys      []string
		want      Signature
		code      Code
	}{
		{"prehashed", signedBytes, prehashed, []string{signingKey}, Signature{"E5B1D614DF919E55", "parser-acme 1.2.3"}, ""},
		{"legacy", signedBytes, legacy, []string{signingKey}, Signature{"E5B1D614DF919E55", "legacy form"}, ""},
		{"second of two keys", signedBytes, prehashed, []string{otherKey, signingKey}, Signature{"E5B1D614DF919E55", "parser-acme 1.2.3"}, ""},
		{"line ends of another system", signedBytes, strings.ReplaceAll(prehashed, "\n", "\r\n"), []string{signingKey}, Signature{"E5B1D614DF919E55", "parser-acme 1.2.3"}, ""},
		{"not signed", signedBytes, "", []string{signingKey}, Signature{}, Unsigned},
		{"other bytes", signedBytes + "x", prehashed, []string{signingKey}, Signature{}, BadSignature},
		{"no bytes", "", prehashed, []string{signingKey}, Signature{}, BadSignature},
		{"other key", signedBytes, prehashed, []string{otherKey}, Signature{}, BadSignature},
		{"other trusted comment", signedBytes, flipped, []string{signingKey}, Signature{}, BadSignature},
		{"empty", signedBytes, "\n", []string{signingKey}, Signature{}, BadSignature},
		{"not a signature", signedBytes, "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END\n", []string{signingKey}, Signature{}, BadSignature},
		{"cut", signedBytes, prehashed[:120], []string{signingKey}, Signature{}, BadSignature},
		{"too large", signedBytes, prehashed + strings.Repeat("\n", maxSignature), []string{signingKey}, Signature{}, BadSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "plugin")
			write(t, path, tt.content, 0o755)
			if tt.signature != "" {
				write(t, path+SignatureSuffix, tt.signature, 0o644)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, refusal := parseKeys(t, tt.keys...).Verify(f, path)
			switch {
			case tt.code == "" && refusal != nil:
				t.Fatalf("got %v, want it to be accepted", refusal)
			case tt.code != "" && (refusal == nil || refusal.Code != tt.code):
				t.Fatalf("got %v, want %s", refusal, tt.code)
			case refusal != nil && (refusal.Observed == "" || refusal.Wanted == "" || refusal.Mend == "" || refusal.Rule == ""):
				t.Errorf("%+v explains nothing", refusal)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestVerifySignatureOfOddFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	write(t, path, signedBytes, 0o755)
	mkdir(t, path+SignatureSuffix, 0o755)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, refusal := parseKeys(t, signingKey).Verify(f, path); refusal == nil || refusal.Code != BadSignature {
		t.Errorf("a directory for a signature: got %v, want %s", refusal, BadSignature)
	}
}

func TestParseKeys(t *testing.T) {
	if keys, err := ParseKeys(nil); err != nil || !keys.Empty() {
		t.Errorf("no keys: got %v, %v, want an empty set", keys, err)
	}
	for _, bad := range []string{"", "x", "untrusted comment: minisign public key", signingKey[:40], "AA" + signingKey[2:]} {
		if _, err := ParseKeys([]string{signingKey, bad}); !errors.Is(err, ErrKey) {
			t.Errorf("%q: got %v, want %v", bad, err, ErrKey)
		}
	}
	if got := parseKeys(t, signingKey).String(); got != "E5B1D614DF919E55" {
		t.Errorf("got key id %s, want the one that minisign shows", got)
	}
}

func FuzzVerifySignature(f *testing.F) {
	f.Add([]byte(prehashed))
	f.Add([]byte(legacy))
	f.Add([]byte("a\nb\nc\nd"))
	f.Add([]byte(strings.Replace(prehashed, "trusted comment: ", "", 2)))
	keys := parseKeys(f, signingKey)
	path := filepath.Join(f.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("other bytes than were signed"), 0o600); err != nil {
		f.Fatal(err)
	}
	content, err := os.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer content.Close()
	f.Fuzz(func(t *testing.T, signature []byte) {
		if err := os.WriteFile(path+SignatureSuffix, signature, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, refusal := keys.Verify(content, path); refusal == nil {
			t.Errorf("%q: accepted for bytes that nobody signed", signature)
		}
	})
}
