// Package lines makes the logs that the benchmarks run on: what an SSH server
// with many users writes, 132 bytes a line on average, 200 lines a second of the
// log's own time. In the ordinary one, two passwords in a thousand lines are
// wrong, and one line in 2,700 belongs to a burst of wrong passwords from one
// address, which raises alerts. In the log of an attack every fourth line is a
// failed login, from one of a thousand addresses. Each is always the same.
package lines

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	templates = 1 << 16 // distinct lines before the log repeats, but for its stamps
	perSecond = 200
	burst     = 6       // wrong passwords of one address, and
	burstGap  = 1 << 14 // lines between two such bursts
)

// Log generates lines. It is for one goroutine.
type Log struct {
	lines [][]byte
	at    int
	n     int
	clock time.Time
	stamp [len(time.Stamp)]byte
}

// New returns a log that begins a day ago. attack makes it that of an attack.
func New(attack bool) *Log {
	l := &Log{clock: time.Now().Add(-24 * time.Hour)}
	copy(l.stamp[:], l.clock.Format(time.Stamp))
	r := rand.New(rand.NewPCG(1, 2))
	users := make([]string, 200)
	for i := range users {
		users[i] = fmt.Sprintf("%s%02d", []string{"anna", "deploy", "jo", "backup", "kim", "ops", "maria", "svc"}[i%8], i/8)
	}
	for i := range templates {
		l.lines = append(l.lines, line(r, i, users[r.IntN(len(users))], attack))
	}
	return l
}

func line(r *rand.Rand, i int, user string, attack bool) []byte {
	head := fmt.Sprintf("%s bastion-%02d sshd[%d]: ", time.Stamp, r.IntN(4), 2000+r.IntN(60000))
	address := fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(160), r.IntN(256), r.IntN(256), 1+r.IntN(254))
	port := 1024 + r.IntN(64000)
	var text string
	switch k := r.IntN(1000); {
	case attack && k < 250:
		text = fmt.Sprintf("Failed password for invalid user %s from 203.0.%d.%d port %d ssh2", user, r.IntN(4), r.IntN(256), port)
	case i%burstGap < burst:
		text = fmt.Sprintf("Failed password for root from 198.51.100.%d port %d ssh2", 1+i/burstGap, port)
	case k < 2:
		text = fmt.Sprintf("Failed password for %s from %s port %d ssh2", user, address, port)
	case k < 3:
		text = fmt.Sprintf("Invalid user %s from %s port %d", user, address, port)
	case k < 500:
		text = fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%s", user, address, port, fingerprint(r))
	case k < 750:
		text = fmt.Sprintf("pam_unix(sshd:session): session opened for user %s(uid=%d) by (uid=0)", user, 1000+r.IntN(5000))
	default:
		text = fmt.Sprintf("Received disconnect from %s port %d:11: disconnected by user; the session of %s had lasted %d s, %d bytes", address, port, user, r.IntN(9000), r.IntN(1e7))
	}
	return []byte(head + text)
}

func fingerprint(r *rand.Rand) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, 43)
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return b
}

// Next returns the next line, which is valid until the call after the next
// 60,000.
func (l *Log) Next() []byte {
	if l.n++; l.n == perSecond {
		l.n = 0
		l.clock = l.clock.Add(time.Second)
		copy(l.stamp[:], l.clock.Format(time.Stamp))
	}
	b := l.lines[l.at]
	l.at = (l.at + 1) % templates
	copy(b, l.stamp[:])
	return b
}

// Marker returns a line that the rule [MarkerRule] finds.
func (l *Log) Marker(text string) []byte {
	return fmt.Appendf(nil, "%s bastion-00 bench[1]: bench marker %s", l.stamp[:], text)
}

// MarkerRule raises an alert for every marker; the alert's title is constant and
// its event holds the text.
const MarkerRule = `id: bench_marker
title: Benchmark marker
severity: low
detection:
  conditions:
    - {field: process, operator: equals, value: bench}
`

// Mean returns the mean length of a line in bytes.
func (l *Log) Mean() float64 { return float64(len(bytes.Join(l.lines, nil))) / templates }
