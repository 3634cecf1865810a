package deliver

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the longest pause that a receiver can ask for.
const maxRetryAfter = time.Hour

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	// Answer is the beginning of its body, made printable.
	Answer string
}

// Error names the status and quotes the answer.
func (e *StatusError) Error() string {
	text := strconv.Itoa(e.Status)
	if name := http.StatusText(e.Status); name != "" {
		text += " " + name
	}
	switch {
	case e.Status/100 == 3:
		return "it answers " + text + ", a redirect that is not followed"
	case e.Answer != "":
		return fmt.Sprintf("it answers %s: %q", text, e.Answer)
	}
	return "it answers " + text
}

// quotable is the first line of an answer, cut and printable.
func quotable(answer []byte) string {
	text := strings.ToValidUTF8(string(answer[:min(len(answer), maxQuoted)]), "")
	text = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

// pause returns how long to wait after so many failures: a time between half of
// min(most, least * 2^(failures-1)) and that.
func pause(least, most time.Duration, failures int) time.Duration {
	d := least
	for i := 1; i < failures && d < most; i++ {
		d *= 2
	}
	d = min(d, most)
	if d < 2 {
		return d
	}
	return d/2 + rand.N(d/2) //nolint:gosec // it spreads attempts, and hides nothing
}

// retryAfter reads the header Retry-After, RFC 9110 section 10.2.3: seconds or a
// date. What cannot be read is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
