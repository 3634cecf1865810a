package jsonlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk/event"
)

var seeds = []string{
	`{}`, `[]`, `1`, `"x"`, `null`, `{"a":1,"b":[1,{"c":"\u00e9"},[2,3]],"d":{"e":-0.5E+3}}`, `[1,"a",null,true,false,{"x":[]}]`,
	`"\ud83d\ude00\ud800\u0041\u0000\\\/"`, `{"a":{"":1},"":2,"a":3}`, `{"time":1.7e9,"level":"warn","message":"x","pid":"7"}`,
	`{"MESSAGE":[104,105,255],"_UID":"0","SYSLOG_IDENTIFIER":"sshd"}`, `{"MESSAGE":[1,300]}`, `{"src_ip":"::ffff:1.2.3.4"}`, `[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]`,
	`{"a":[1,]}`, `{"a":01}`, "{\"a\":\"\x01\"}", `{"a":"\x"}`, `{"a"`, `{"a":tru}`, `{"a":1.}`, `{"a":1e}`, `{,}`, `[,]`, `{"a":1]`, " {\"a\" : 1 } ",
}

// FuzzParse checks that a record is accepted exactly if encoding/json says that
// it is an object, within the documented depth.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	var p Parser
	var out event.LogEvent
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > event.MaxRecord {
			return
		}
		before := bytes.Clone(line)
		out.Reset()
		err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: line}, &out)
		if !bytes.Equal(line, before) {
			t.Fatal("the record was changed")
		}
		text := bytes.TrimPrefix(line, []byte("\ufeff"))
		valid := json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
		if valid != (err == nil) && !errors.Is(err, ErrTooDeep) {
			t.Fatalf("%q: got %v, encoding/json says %v", line, err, valid)
		}
		if err != nil {
			return
		}
		for _, field := range out.Fields {
			if strings.IndexByte(field.Value, 0) >= 0 && bytes.IndexByte(line, 0) < 0 {
				t.Fatalf("field %s holds NUL", field.Key)
			}
			if utf8.Valid(line) && !(utf8.ValidString(field.Value) && utf8.ValidString(field.Key)) {
				t.Fatalf("field %q is not UTF-8: %q", field.Key, field.Value)
			}
		}
	})
}

// FuzzFlatten compares the fields with a plain implementation over the tokens
// of encoding/json. The value stands under a key, so that no member is filled.
func FuzzFlatten(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		compareFlat(t, value)
	})
}

func TestFlatten(t *testing.T) {
	n := 0
	for _, seed := range seeds {
		if compareFlat(t, seed) {
			n++
		}
	}
	if n < 8 {
		t.Errorf("compared %d seeds, want at least 8", n)
	}
}

// compareFlat reports whether the value was JSON within the limits.
func compareFlat(t *testing.T, value string) bool {
	t.Helper()
	if !json.Valid([]byte(value)) || !utf8.ValidString(value) || len(value) > 4096 {
		return false
	}
	line := `{"x":` + value + `}`
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.UseNumber()
	want := flat{within: true}
	want.value(t, decoder, "x", 1)
	if !want.within {
		return false
	}
	got, err := parse(line)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if diff := cmp.Diff(sorted(want.event.Fields), sorted(got.Fields), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%q (-want +got):\n%s", line, diff)
	}
	return true
}

// flat is the plain implementation.
type flat struct {
	event  event.LogEvent
	within bool // the limits
}

func (f *flat) token(t *testing.T, d *json.Decoder) json.Token {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *flat) set(name, value string) {
	if len(name) > MaxName || len(f.event.Fields) >= MaxFields {
		f.within = false
	}
	f.event.Set(name, strings.ReplaceAll(value, "\x00", "\ufffd"))
}

func (f *flat) value(t *testing.T, d *json.Decoder, name string, depth int) {
	if text, ok := f.scalar(f.token(t, d), t, d, name, depth); ok {
		f.set(name, text)
	}
}

// scalar returns the text of a scalar; it flattens anything else.
func (f *flat) scalar(token json.Token, t *testing.T, d *json.Decoder, name string, depth int) (string, bool) {
	switch v := token.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case json.Delim:
		if depth++; depth > MaxDepth || len(name) > MaxName {
			f.within = false
		}
		if v == '{' {
			for d.More() {
				key := strings.ReplaceAll(f.token(t, d).(string), "\x00", "\ufffd")
				if key == "" {
					f.within = false
				}
				f.value(t, d, name+"."+key, depth)
			}
		} else {
			var scalars []string
			for i := 0; d.More(); i++ {
				if text, ok := f.scalar(f.token(t, d), t, d, name+"."+strconv.Itoa(i), depth); ok {
					scalars = append(scalars, text)
				}
			}
			if len(scalars) > 0 {
				f.set(name, strings.Join(scalars, ","))
			}
		}
		f.token(t, d)
	}
	return "", false
}
