package deliver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	secretPrefix    = "whsec_"
	signaturePrefix = "v1,"
	// minSecret is the least length of a secret, in bytes. The specification
	// recommends 24 to 64.
	minSecret  = 16
	maxSecrets = 4
)

// ParseSecrets reads the secrets of a text, with blanks or line breaks between
// them: "whsec_" and base64, or the bytes themselves. An error quotes none.
func ParseSecrets(text string) ([][]byte, error) {
	words := strings.Fields(text)
	if len(words) > maxSecrets {
		return nil, fmt.Errorf("there are %d secrets; at most %d can be in use", len(words), maxSecrets)
	}
	var out [][]byte
	for i, word := range words {
		secret := []byte(word)
		if encoded, ok := strings.CutPrefix(word, secretPrefix); ok {
			decoded, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return nil, fmt.Errorf("secret %d: what follows %s is not base64", i+1, secretPrefix)
			}
			secret = decoded
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("secret %d has %d bytes; write %d or more", i+1, len(secret), minSecret)
		}
		out = append(out, secret)
	}
	return out, nil
}

// Sign returns the value of the header webhook-signature, "" without secrets.
func Sign(secrets [][]byte, id string, at time.Time, body []byte) string {
	var out []byte
	for i, secret := range secrets {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, signaturePrefix...)
		out = base64.StdEncoding.AppendEncode(out, sum(secret, id, strconv.FormatInt(at.Unix(), 10), body))
	}
	return string(out)
}

func sum(secret []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Errors of Verify.
var (
	// ErrSignature says that no signature is that of the secret.
	ErrSignature = errors.New("no signature fits")
	// ErrTimestamp says that the timestamp is too far from now.
	ErrTimestamp = errors.New("the timestamp is too old or too new")
)

// Verify is what a receiver does with a message: it checks one of the signatures,
// and that the timestamp is at most tolerance from now. A receiver that also
// leaves out an id that it has seen takes each message once.
func Verify(secret []byte, id, timestamp, signatures string, body []byte, now time.Time, tolerance time.Duration) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %q is no number", ErrTimestamp, timestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("%w: %s old", ErrTimestamp, age)
	}
	want := sum(secret, id, timestamp, body)
	for s := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(s, signaturePrefix)
		if !ok {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
