package tail

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	auditA = `type=SYSCALL msg=audit(1700000000.123:41): arch=c000003e syscall=59 success=yes exit=0 pid=9 comm="id"` + "\n" +
		`type=EXECVE msg=audit(1700000000.123:41): argc=1 a0="id"` + "\n" +
		`type=PROCTITLE msg=audit(1700000000.123:41): proctitle="id"`
	auditB = `type=USER_AUTH msg=audit(1700000000.123:42): pid=1 uid=0 msg='op=PAM:authentication res=failed'`
	auditC = `node=web type=SYSCALL msg=audit(1700000001.000:43): syscall=2` + "\n" +
		`node=web type=CWD msg=audit(1700000001.000:43): cwd="/"`
	cwd   = `node=web type=PATH msg=audit(1700000001.000:43): item=0 name="/"`
	later = `type=USER_AUTH msg=audit(1700000003.000:44): pid=1 uid=0 msg='op=PAM:authentication res=failed'`
)

func TestAuditEvents(t *testing.T) {
	first, rest, _ := strings.Cut(auditA, "\n")
	for _, c := range []struct {
		name, text string
		config     func(*Config)
		want       []string
	}{
		{"events", auditA + "\n" + auditB + "\n" + auditC + "\n" + auditB + "\n", nil, []string{auditA, auditB, auditB, auditC}},
		{"two at a time", first + "\n" + auditB + "\n" + rest + "\n", nil, []string{auditB, auditA}},
		{"a later one ends it", auditC + "\n" + later + "\n", nil, []string{auditC, later}},
		{
			"a little later does not", auditC + "\n" + strings.ReplaceAll(later, "1700000003.000:44", "1700000002.999:44") + "\n" + cwd + "\n",
			nil,
			[]string{strings.ReplaceAll(later, "1700000003.000:44", "1700000002.999:44"), auditC + "\n" + cwd},
		},
		{"what comes after its end is another", auditA + "\n" + first + "\n", nil, []string{auditA, first}},
		{"it begins in the middle", rest + "\n" + auditB + "\n", nil, []string{rest, auditB}},
		{"other lines between are alone", first + "\nx\n" + rest + "\n", nil, []string{"x", auditA}},
		{"CRLF", strings.ReplaceAll(auditA, "\n", "\r\n") + "\r\n" + auditB + "\r\n", nil, []string{auditA, auditB}},
		{
			"a configured expression holds", auditC + "\n" + auditB + "\n",
			func(config *Config) { config.Multiline = map[string]string{config.Paths[0]: "CWD"} },
			[]string{strings.Split(auditC, "\n")[0], strings.Split(auditC, "\n")[1] + "\n" + auditB},
		},
		{
			"a configured format holds", auditC + "\n",
			func(config *Config) { config.Format = "text" },
			strings.Split(auditC, "\n"),
		},
		{
			"another file that mentions it", "x\n" + auditC + "\n", nil,
			append([]string{"x"}, strings.Split(auditC, "\n")...),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			write(t, path, c.text)
			config := beginning(path)
			config.MultilineTimeout = 50 * time.Millisecond
			if c.config != nil {
				c.config(&config)
			}
			l := newLedger()
			l.run(t, config)
			l.wantLines(t, path, c.want...)
		})
	}
}

// TestAuditFormat begins with a line of which only a part has come.
func TestAuditFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	write(t, path, auditA[:20])
	config := beginning(path)
	config.MultilineTimeout = 50 * time.Millisecond
	l := newLedger()
	l.run(t, config)
	add(t, path, auditA[20:]+"\n")
	l.wantLines(t, path, auditA)
	if got := l.format(path); got != formatAudit {
		t.Errorf("format: got %q, want %q", got, formatAudit)
	}
	for text, want := range map[string]string{
		"": "", "type=SYSC": "", "node=a type=X msg=au": "", "type=SYSCALL\n": "syslog", "node=" + strings.Repeat("x", 500): "syslog",
		"type=X msg=audit(1.2:3): ": formatAudit, "type=X msg=audit(1.2:3)": "", " {": "json", "Jan": "syslog",
	} {
		if got := sniff([]byte(text)); got != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}
