package deliver

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The example of the Standard Webhooks specification's own tests.
func TestSignaturesAreThoseOfTheSpecification(t *testing.T) {
	const (
		id   = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		body = `{"test": 2432232314}`
		want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	at := time.Unix(1614265330, 0)
	secrets, err := ParseSecrets(testSecret + "\n0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	if got := Sign(secrets[:1], id, at, []byte(body)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	both := Sign(secrets, id, at, []byte(body))
	for i, secret := range secrets {
		if err := Verify(secret, id, "1614265330", both, []byte(body), at.Add(time.Minute), 5*time.Minute); err != nil {
			t.Errorf("secret %d: %v", i, err)
		}
	}
	for name, tt := range map[string]struct {
		id, stamp, signature, body string
		now                        time.Time
		want                       error
	}{
		"another body":      {id, "1614265330", want, body + " ", at, ErrSignature},
		"another id":        {id + "x", "1614265330", want, body, at, ErrSignature},
		"another time":      {id, "1614265331", want, body, at, ErrSignature},
		"an old one":        {id, "1614265330", want, body, at.Add(6 * time.Minute), ErrTimestamp},
		"one of the future": {id, "1614265330", want, body, at.Add(-6 * time.Minute), ErrTimestamp},
		"no time":           {id, "x", want, body, at, ErrTimestamp},
		"no signature":      {id, "1614265330", "", body, at, ErrSignature},
		"another version":   {id, "1614265330", "v2," + want[3:], body, at, ErrSignature},
	} {
		if err := Verify(secrets[0], tt.id, tt.stamp, tt.signature, []byte(tt.body), tt.now, 5*time.Minute); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestSecretsThatCannotBeUsed(t *testing.T) {
	for _, text := range []string{"short", "whsec_???????????????????", "whsec_c2hvcnQ=", strings.Repeat("0123456789abcdef ", 5)} {
		_, err := ParseSecrets(text)
		if err == nil {
			t.Errorf("%q was taken", text)
			continue
		}
		for word := range strings.FieldsSeq(text) {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%q: the secret is in %v", text, err)
			}
		}
	}
	if got, err := ParseSecrets(" \n"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v of blanks; want none", got, err)
	}
}

func TestPauseGrowsWithinItsBounds(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 4 * time.Minute, 60: 4 * time.Minute} {
		for range 100 {
			if got := pause(time.Second, 4*time.Minute, failures); got < most/2 || got > most {
				t.Fatalf("%d failures: got %v, want between %v and %v", failures, got, most/2, most)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, " 7 ": 7 * time.Second, "86400": time.Hour, "-5": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Sat, 03 Jan 2026 03:04:00 GMT": time.Hour,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}
