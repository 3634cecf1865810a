// Package server makes the log of a busy server, as rsyslog writes it to a file: a
// bastion that is a mail server, a name server and a firewall too. A line has 144
// bytes on average; the programs have these shares:
//
//	sshd            34 %   logins with keys, sessions, disconnects, a few wrong passwords
//	postfix         24 %   connections, queue, deliveries
//	kernel          10 %   packets that the firewall refused
//	dovecot          8 %   logins
//	CRON             6 %
//	systemd          6 %
//	named            4 %
//	sudo             2 %   by administrators
//	others           6 %   of which no pattern knows the messages
//
// Of a thousand lines one wrong password, from an address that comes once, and one
// [Incident] are in there, whose lines stand 50 apart. The log's own time goes on by
// a second every 200 lines, so that windows of hours open and close within millions
// of lines. The log is always the same but for the day on which it begins.
package server

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	templates    = 1 << 16 // ordinary lines before they repeat, but for their stamps
	perSecond    = 200
	perIncident  = 1000 // lines from one incident to the next
	incidentStep = 50   // lines between those of an incident
	noiseAt      = 500  // where in each thousand the wrong password stands
)

// Log generates lines. It is for one goroutine.
type Log struct {
	ordinary [][]byte
	n        int
	clock    time.Time
	stamp    []byte
	coming   []string // of the incident under way
}

// New returns a log that begins at a time.
func New(begin time.Time) *Log {
	l := &Log{clock: begin, stamp: begin.AppendFormat(nil, time.Stamp)}
	r := rand.New(rand.NewPCG(1, 2))
	users := make([]string, 200)
	for i := range users {
		users[i] = fmt.Sprintf("%s%02d", []string{"anna", "deploy", "jo", "backup", "kim", "ops", "maria", "svc"}[i%8], i/8)
	}
	for range templates {
		l.ordinary = append(l.ordinary, []byte(ordinary(r, users[r.IntN(len(users))])))
	}
	return l
}

// Append appends the next line, which ends with LF. The incident is that which the
// line completes, -1 if it completes none.
func (l *Log) Append(to []byte) (line []byte, incident int) {
	if l.n > 0 && l.n%perSecond == 0 {
		l.clock = l.clock.Add(time.Second)
		l.stamp = l.clock.AppendFormat(l.stamp[:0], time.Stamp)
	}
	at := l.n % perIncident
	number := l.n / perIncident
	l.n++
	to = append(to, l.stamp...)
	incident = -1
	if at == 0 {
		l.coming = Incident(number).lines()
	}
	switch {
	case at%incidentStep == 0 && len(l.coming) > 0:
		to = append(to, l.coming[0]...)
		if l.coming = l.coming[1:]; len(l.coming) == 0 {
			incident = number
		}
	case at == noiseAt:
		to = fmt.Appendf(to, " bastion sshd[%d]: Failed password for kim%02d from 10.%d.%d.%d port %d ssh2",
			2000+number%60000, number%25, number>>16&255, number>>8&255, number&255, 1024+number%64000)
	default:
		to = append(to, l.ordinary[(l.n-1)%templates]...)
	}
	return append(to, '\n'), incident
}

// ordinary returns a line behind its stamp.
func ordinary(r *rand.Rand, user string) string {
	address := fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(160), r.IntN(256), r.IntN(256), 1+r.IntN(254))
	port, pid := 1024+r.IntN(64000), 2000+r.IntN(60000)
	queue := fmt.Sprintf("%X", 0x100000000+r.Uint64N(0xF00000000))
	program, text := "", ""
	switch k := r.IntN(100); {
	case k < 12:
		program, text = "sshd", fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%s", user, address, port, letters(r, 43))
	case k < 24:
		program, text = "sshd", fmt.Sprintf("pam_unix(sshd:session): session opened for user %s(uid=%d) by (uid=0)", user, 1000+r.IntN(5000))
	case k < 34:
		program, text = "sshd", fmt.Sprintf("Received disconnect from %s port %d:11: disconnected by user", address, port)
	case k < 40:
		program, text = "postfix/smtpd", fmt.Sprintf("connect from mail-%s.example.net[%s]", letters(r, 8), address)
	case k < 46:
		program, text = "postfix/smtp", fmt.Sprintf("%s: to=<%s@example.org>, relay=mx.example.org[%s]:25, delay=%d.%d, delays=0.1/0/0.4/0.3, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as %s)", queue, user, address, r.IntN(9), r.IntN(10), letters(r, 11))
	case k < 52:
		program, text = "postfix/qmgr", fmt.Sprintf("%s: from=<%s@example.com>, size=%d, nrcpt=1 (queue active)", queue, user, 600+r.IntN(90000))
	case k < 58:
		program, text = "postfix/cleanup", fmt.Sprintf("%s: message-id=<%s@example.com>", queue, letters(r, 24))
	case k < 68:
		pid, program = 0, "kernel"
		text = fmt.Sprintf("[%d.%06d] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=%s DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=%d ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0",
			r.IntN(1e6), r.IntN(1e6), address, 40+r.IntN(24), r.IntN(65536), port, 1+r.IntN(9999))
	case k < 76:
		program, text = "dovecot", fmt.Sprintf("imap-login: Login: user=<%s@example.com>, method=PLAIN, rip=%s, lip=192.0.2.10, mpid=%d, TLS, session=<%s>", user, address, 1+r.IntN(60000), letters(r, 16))
	case k < 82:
		program, text = "CRON", fmt.Sprintf("(%s) CMD (/usr/local/bin/rotate-%s --quiet)", user, letters(r, 6))
	case k < 88:
		program, text = "systemd", fmt.Sprintf("Started session-%d.scope - Session %d of User %s.", port, port, user)
	case k < 92:
		program, text = "named", fmt.Sprintf("client @0x7f%010x %s#%d (%s.example.com): query: %s.example.com IN A +E(0)K (192.0.2.10)", r.Uint64N(1<<40), address, port, user, user)
	case k < 94:
		program, text = "sudo", fmt.Sprintf("%8s : TTY=pts/%d ; PWD=/home/%s ; USER=root ; COMMAND=/usr/bin/apt-get install --only-upgrade openssl", user, r.IntN(20), user)
		pid = 0
	default:
		program, text = "inventory", fmt.Sprintf("sync of shelf %d done in %d ms, %d items, %d changed, cursor %s", r.IntN(900), r.IntN(4000), r.IntN(1e5), r.IntN(100), letters(r, 12))
	}
	return head(program, pid) + text
}

// head is what stands between the stamp and the message.
func head(program string, pid int) string {
	if pid == 0 {
		return " bastion " + program + ": "
	}
	return fmt.Sprintf(" bastion %s[%d]: ", program, pid)
}

func letters(r *rand.Rand, n int) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return b
}

// Incident is the n-th incident of every log. Each has an address and a user of its
// own.
type Incident int

// Alert is what rules have to say about an incident: the rule, and the messages of
// the lines that are its evidence, in their order.
type Alert struct {
	Rule     string
	Messages []string
	Last     bool // the last of them is the incident's last line
}

// daemonErrorRule is the rule of SigmaHQ about a daemonError.
const daemonErrorRule = "e76b413a-83d0-4b94-8e4c-85db4a5b8bdc"

// The kinds of incidents, which take turns.
const (
	guessing      = iota // five passwords of one address are refused
	rootLogin            // root logs in
	withoutRights        // a user without rights tries sudo
	newUser              // a user is added
	guessed              // five passwords are refused, the sixth is right
	daemonError          // sshd fails as it does when it is exploited
	incidentKinds        // how many there are
)

// Alerts returns what is to be raised for it by the shipped rules, and, with sigma,
// by those of SigmaHQ too.
func (i Incident) Alerts(sigma bool) []Alert {
	m := i.messages()
	switch int(i) % incidentKinds {
	case daemonError:
		if !sigma {
			return nil
		}
		return []Alert{{daemonErrorRule, m, true}}
	case guessing:
		return []Alert{{"ssh_brute_force", m, true}}
	case rootLogin:
		return []Alert{{"ssh_root_login", m, true}}
	case withoutRights:
		return []Alert{{"sudo_not_in_sudoers", m, true}}
	case newUser:
		return []Alert{{"user_added", m, true}}
	default:
		return []Alert{{"ssh_brute_force", m[:5], false}, {"ssh_login_after_guessing", m[4:], true}}
	}
}

// messages are those of its lines.
func (i Incident) messages() []string {
	user := fmt.Sprintf("u%07d", int(i))
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 172<<24+16<<16+uint32(i))
	address := fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3])
	port := 20000 + int(i)%40000
	refused := func() (m []string) {
		for n := range 5 {
			m = append(m, fmt.Sprintf("Failed password for %s from %s port %d ssh2", user, address, port+n))
		}
		return m
	}
	switch int(i) % incidentKinds {
	case guessing:
		return refused()
	case rootLogin:
		return []string{fmt.Sprintf("Accepted publickey for root from %s port %d ssh2: ED25519 SHA256:AAAAC3NzaC1lZDI1NTE5AAAAIJ0123456789abcdefg", address, port)}
	case withoutRights:
		return []string{fmt.Sprintf("%s : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/%s ; USER=root ; COMMAND=/usr/bin/id", user, user)}
	case newUser:
		return []string{fmt.Sprintf("new user: name=%s, UID=%d, GID=%d, home=/home/%s, shell=/bin/bash, from=none", user, 2000+int(i), 2000+int(i), user)}
	case daemonError:
		return []string{fmt.Sprintf("ssh_dispatch_run_fatal: Connection from %s port %d: unexpected internal error", address, port)}
	default:
		return append(refused(), fmt.Sprintf("Accepted password for %s from %s port %d ssh2", user, address, port+5))
	}
}

// lines are its lines behind their stamps.
func (i Incident) lines() []string {
	program, pid := "sshd", 2000+int(i)%60000
	switch int(i) % incidentKinds {
	case withoutRights:
		program, pid = "sudo", 0
	case newUser:
		program = "useradd"
	}
	lines := i.messages()
	for n, m := range lines {
		lines[n] = head(program, pid) + m
	}
	return lines
}

// Completed is how many incidents are complete in the first n lines.
func Completed(n int) int {
	whole := n / perIncident
	if rest := n % perIncident; rest > incidentStep*(len(Incident(whole).messages())-1) {
		return whole + 1
	}
	return whole
}

// Span is how much of its own time a log of n lines takes.
func Span(n int) time.Duration { return time.Duration(n/perSecond) * time.Second }
