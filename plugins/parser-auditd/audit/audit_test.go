package audit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk/event"
)

func parse(record string) (event.LogEvent, error) {
	var p Parser
	var out event.LogEvent
	err := p.Parse(event.RawLog{Stream: &event.Stream{}, ObservedTime: time.Unix(1, 0), Line: []byte(record)}, &out)
	return out, err
}

func keyed(kv ...string) (out []event.Field) {
	for i := 0; i+1 < len(kv); i += 2 {
		out = append(out, event.Field{Key: kv[i], Value: kv[i+1]})
	}
	return out
}

// The records of one execution, as auditd writes them.
var execution = strings.Join([]string{
	"type=SYSCALL msg=audit(1700000000.123:4711): arch=c000003e syscall=59 success=yes exit=0 a0=7ffe a1=7fff ppid=31336 pid=31337 auid=1000 uid=1000 euid=0 tty=pts0 ses=417 comm=\"su\" exe=\"/usr/bin/su\" key=\"priv\"\x1dARCH=x86_64 SYSCALL=execve AUID=\"bob\" UID=\"bob\" EUID=\"root\"",
	`type=EXECVE msg=audit(1700000000.123:4711): argc=3 a0="/usr/bin/su" a1="-c" a2=69642022222026`,
	`type=CWD msg=audit(1700000000.123:4711): cwd="/home/bob"`,
	`type=PATH msg=audit(1700000000.123:4711): item=0 name="/usr/bin/su" inode=4242 dev=08:02 mode=0104755 nametype=NORMAL cap_frootid=0OUID="root" OGID="root"`,
	`type=PATH msg=audit(1700000000.123:4711): item=1 name="/lib64/ld-linux-x86-64.so.2" nametype=NORMAL`,
	`type=PROCTITLE msg=audit(1700000000.123:4711): proctitle=2F7573722F62696E2F7375002D63`,
}, "\n")

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, record string
		want         event.LogEvent
	}{
		{
			"an execution", execution,
			event.LogEvent{
				Time: time.Unix(1700000000, 123e6).UTC(), Process: "su", PID: 31337, Message: execution,
				Fields: keyed("audit.id", "1700000000.123:4711", "type", "SYSCALL", "audit.types", ",SYSCALL,EXECVE,CWD,PATH,PATH,PROCTITLE,", "arch", "c000003e",
					"syscall", "59", "success", "yes", "event.outcome", "success", "exit", "0", "a0", "/usr/bin/su", "a1", "-c", "a2", `id "" &`, "argc", "3",
					"command", `/usr/bin/su -c id "" &`, "proctitle", "/usr/bin/su -c", "ppid", "31336", "auid", "1000", "login_uid", "1000", "uid", "1000", "user_uid", "1000",
					"euid", "0", "tty", "pts0", "ses", "417", "comm", "su", "exe", "/usr/bin/su", "key", "priv", "ARCH", "x86_64", "SYSCALL", "execve",
					"AUID", "bob", "user", "bob", "UID", "bob", "EUID", "root", "pwd", "/home/bob", "name", "/usr/bin/su", "nametype", "NORMAL",
					"path.1.name", "/lib64/ld-linux-x86-64.so.2", "event_action", "audit_execve"),
			},
		},
		{
			"a failed login", `node=web1 type=USER_AUTH msg=audit(1761998401.100:2996): pid=77 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication grantors=? acct="root" exe="/usr/sbin/sshd" hostname=192.0.2.7 addr=192.0.2.7 terminal=ssh res=failed'`,
			event.LogEvent{
				Time: time.Unix(1761998401, 100e6).UTC(), Host: "web1", Process: "sshd", PID: 77,
				Message: `node=web1 type=USER_AUTH msg=audit(1761998401.100:2996): pid=77 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication grantors=? acct="root" exe="/usr/sbin/sshd" hostname=192.0.2.7 addr=192.0.2.7 terminal=ssh res=failed'`,
				Fields: keyed("audit.id", "1761998401.100:2996", "type", "USER_AUTH", "audit.types", ",USER_AUTH,", "uid", "0", "user_uid", "0", "auid", "4294967295", "login_uid", "4294967295",
					"ses", "4294967295", "op", "PAM:authentication", "acct", "root", "user", "root", "exe", "/usr/sbin/sshd", "src_ip", "192.0.2.7", "terminal", "ssh",
					"res", "failed", "event.outcome", "failure", "event_action", "audit_user_auth"),
			},
		},
		{
			"a connection", "type=SYSCALL msg=audit(1.000:2): syscall=42 comm=\"curl\"\ntype=SOCKADDR msg=audit(1.000:2): saddr=02000050C00002070000000000000000",
			event.LogEvent{
				Time: time.Unix(1, 0).UTC(), Process: "curl", Message: "type=SYSCALL msg=audit(1.000:2): syscall=42 comm=\"curl\"\ntype=SOCKADDR msg=audit(1.000:2): saddr=02000050C00002070000000000000000",
				Fields: keyed("audit.id", "1.000:2", "type", "SYSCALL", "audit.types", ",SYSCALL,SOCKADDR,", "syscall", "42", "comm", "curl", "dst_ip", "192.0.2.7", "dst_port", "80", "event_action", "audit_syscall"),
			},
		},
		{
			"lines of two events", "type=SYSCALL msg=audit(1.000:2): comm=\"a\"\ntype=SYSCALL msg=audit(1.000:3): comm=\"b\"",
			event.LogEvent{
				Time: time.Unix(1, 0).UTC(), Process: "a", Message: "type=SYSCALL msg=audit(1.000:2): comm=\"a\"\ntype=SYSCALL msg=audit(1.000:3): comm=\"b\"",
				Fields: keyed("audit.id", "1.000:2", "type", "SYSCALL", "audit.types", ",SYSCALL,", "comm", "a", "event_action", "audit_syscall", "audit_defect", "mixed_events"),
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.record)
			if err != nil {
				t.Fatal(err)
			}
			byKey := cmpopts.SortSlices(func(a, b event.Field) int { return strings.Compare(a.Key, b.Key) })
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), byKey); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNamesEndNoOther holds what a process may be called to look like more.
func TestNamesEndNoOther(t *testing.T) {
	got, err := parse(`type=SYSCALL msg=audit(1.000:2): uid=1000 comm=2220657865 exe="/tmp/x uid=0 addr=198.51.100.8" key=(null)`)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"comm": `" exe`, "exe": "/tmp/x uid=0 addr=198.51.100.8", "uid": "1000", "src_ip": "", "key": ""} {
		if v, _ := got.Get(key); v != want {
			t.Errorf("%s: got %q, want %q", key, v, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		record string
		want   error
	}{
		{" \n", ErrEmpty},
		{"hello, world", ErrForm},
		{"type=SYSCALL", ErrForm},
		{"type=SYSCALL msg=audit(x.1:2): a=b", ErrForm},
		{"type=SYSCALL msg=audit(1.000): a=b", ErrForm},
		{"type=SYSCALL msg=audit(1.000:2", ErrForm},
		{"type=SYSCALL msg=audit(99999999999999999.000:2): a=b", ErrForm},
	} {
		got, err := parse(tc.record)
		if !errors.Is(err, tc.want) {
			t.Errorf("%q: got %v, want %v", tc.record, err, tc.want)
		}
		if diff := cmp.Diff(event.LogEvent{}, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: the event of a refused record (-want +got):\n%s", tc.record, diff)
		}
	}
}

func TestFieldsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("type=X msg=audit(1.000:2):")
	for i := range MaxFields + 10 {
		b.WriteString(" k")
		b.WriteString(strings.Repeat("x", i%50))
		b.WriteByte(byte('a' + i/50))
		b.WriteString("=1")
	}
	got, err := parse(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := got.Get("audit_dropped_fields"); v == "" || len(got.Fields) > MaxFields+2 {
		t.Errorf("got %d fields, dropped %q", len(got.Fields), v)
	}
}

func FuzzParse(f *testing.F) {
	for _, record := range []string{
		execution, "type=SOCKADDR msg=audit(1.000:2): saddr=0A00", `type=USER msg=audit(1.000:2): msg='a="b" c='`, "type=EXECVE msg=audit(1.000:2): a1[0]=61 a1[1]=62 a1_len=2", "type= msg=audit(::): =", "node=",
	} {
		f.Add([]byte(record))
	}
	var p Parser
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) > event.MaxRecord || !utf8.Valid(record) {
			return
		}
		before := bytes.Clone(record)
		var out event.LogEvent
		err := p.Parse(event.RawLog{Stream: &event.Stream{}, ObservedTime: time.Unix(1, 0), Line: record}, &out)
		if !bytes.Equal(record, before) {
			t.Fatal("the record was changed")
		}
		if err != nil {
			if len(out.Fields) != 0 || out.Message != "" || out.Process != "" {
				t.Fatalf("%v, yet the event holds %+v", err, out)
			}
			return
		}
		if len(out.Fields) > MaxFields+2 {
			t.Fatalf("got %d fields", len(out.Fields))
		}
		if !utf8.ValidString(out.Process) {
			t.Fatalf("process is not valid UTF-8: %q", out.Process)
		}
		for _, field := range out.Fields {
			if !utf8.ValidString(field.Key) || !utf8.ValidString(field.Value) {
				t.Fatalf("field %q is not valid UTF-8: %q", field.Key, field.Value)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var p Parser
	var out event.LogEvent
	raw := event.RawLog{Stream: &event.Stream{}, Line: []byte(execution)}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := p.Parse(raw, &out); err != nil {
			b.Fatal(err)
		}
	}
}
