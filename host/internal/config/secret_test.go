package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hunter = "hunter2-correct-horse"

// Nothing that a Config offers for printing may hold a secret.
func TestSecretsNeverPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(hunter+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"literal": hunter, "from a file": "file:" + file, "from a variable": "env:DB_PASSWORD",
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Known: []Section{storage()}, Env: []string{"DB_PASSWORD=" + hunter, "IRONPOST_STORAGE_PASSWORD=" + value}}
			c := mustLoad(t, o)
			values := c.Section("storage")
			secret := values["password"].(Secret)
			var out bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&out, nil))
			logger.Info("x", "a", secret, "b", values, "c", c.Origins(), "d", Diff(mustLoad(t, Options{Known: o.Known}), c))
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "a", secret, "b", values)
			for _, v := range []any{secret, &secret, values, c.Origins(), Diff(nil, c), []Secret{secret}, c, *c, []*Config{c}, struct{ S Secret }{secret}} {
				fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d\n", v, v, v, v, v, v, v)
				b, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				out.Write(b)
			}
			for _, leak := range []string{hunter, fmt.Sprintf("%x", hunter), file, "DB_PASSWORD"} {
				if _, after, found := strings.Cut(out.String(), leak); found {
					t.Errorf("%s is printed, before %.80q", leak, after)
				}
			}
			if got := setting(t, c, "storage.password").Value; got != "(secret)" {
				t.Errorf("Origins: got %v, want (secret)", got)
			}
			b, err := c.SectionJSON("storage")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(b, []byte(`"password":"`+hunter+`"`)) {
				t.Errorf("SectionJSON: got %s, want the password", b)
			}
		})
	}
}

func TestProblemsDoNotQuoteSecrets(t *testing.T) {
	for name, content := range map[string]string{
		"wrong type":        "[storage]\npassword = [\"" + hunter + "\"]\n",
		"control character": "[storage]\npassword = \"" + hunter + "\\u0001\"\n",
		"relative path":     "[storage]\npassword = \"file:" + hunter + "\"\n",
		"variable name":     "[storage]\npassword = \"env:" + hunter + " x\"\n",
		"too long":          "[storage]\npassword = \"" + strings.Repeat(hunter, 5000) + "\"\n",
		"unquoted":          "[storage]\npassword = " + hunter + "\n",
		"no closing quote":  "[storage]\npassword = \"" + hunter + "\n",
		"digits":            "[storage]\npassword = 123456789\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(Options{Strict: true, File: write(t, content), Known: []Section{storage()}})
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "123456789") {
				t.Errorf("the secret is in: %v", err)
			}
			if !strings.Contains(err.Error(), ":2: ") {
				t.Errorf("no line in: %v", err)
			}
		})
	}
}

func TestSecretReferencesThatLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("x"), maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		ref string
		is  error
	}{
		"no file":      {"file:" + filepath.Join(dir, "no"), fs.ErrNotExist},
		"directory":    {"file:" + dir, errNotRegular},
		"large":        {"file:" + large, errTooLarge},
		"no variable":  {"env:NOPE", nil},
		"binary value": {"env:BINARY", nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "[storage]\npassword = '"+tt.ref+"'\n")
			c := mustLoad(t, Options{File: path, Env: []string{"BINARY=\xff"}, Known: []Section{storage()}})
			_, err := c.SectionJSON("storage")
			var p Problem
			if !errors.As(err, &p) || p.Key != "storage.password" || p.Line != 2 || p.Owner != "sink-acme" {
				t.Errorf("got %v, want a Problem of storage.password in line 2", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
		})
	}
}

func TestSecretIsReadLate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	c := mustLoad(t, Options{Known: []Section{storage()}, Env: []string{"IRONPOST_STORAGE_PASSWORD=file:" + file}})
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(want+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := c.SectionJSON("storage")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(`"password":"`+want+`"`)) {
			t.Errorf("got %s, want the password %s", b, want)
		}
	}
}
