package vulndb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Mirror fetches sources and bundles over HTTP. The zero Mirror is ready; it may be used by
// several goroutines.
type Mirror struct {
	// Client does the requests; without one a client with a timeout of an hour does.
	Client *http.Client
	// MaxBytes bounds what is fetched, 8 GiB when it is 0.
	MaxBytes int64
	// AllowHTTP takes URLs without encryption. Bundles are signed; sources are not.
	AllowHTTP bool
}

// Validator is what a server said of a file, so that it is fetched again only when it changed.
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// ErrUnchanged says that a file is as it was when it was fetched last.
var ErrUnchanged = errors.New("not changed since it was fetched last")

// maxValidator bounds what is kept of a server's words.
const maxValidator = 1 << 10

// Fetch copies a file to w. It returns [ErrUnchanged] and writes nothing when the server says
// that it is as previous says. When there is another error, w may have got a part.
func (m *Mirror) Fetch(ctx context.Context, from string, previous Validator, w io.Writer) (Validator, error) {
	if err := m.allowed(from); err != nil {
		return Validator{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return Validator{}, fmt.Errorf("fetch: %w", err)
	}
	request.Header.Set("User-Agent", "ironpost")
	if previous.ETag != "" {
		request.Header.Set("If-None-Match", previous.ETag)
	}
	if previous.LastModified != "" {
		request.Header.Set("If-Modified-Since", previous.LastModified)
	}
	response, err := m.client().Do(request)
	if err != nil {
		return Validator{}, fmt.Errorf("fetch: %w", err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && previous != (Validator{}):
		return previous, ErrUnchanged
	case response.StatusCode != http.StatusOK:
		return Validator{}, fmt.Errorf("fetch %s: the server answered %s", redacted(from), response.Status)
	}
	most := m.MaxBytes
	if most <= 0 {
		most = maxBundle
	}
	if response.ContentLength > most {
		return Validator{}, fmt.Errorf("fetch %s: %d bytes, at most %d", redacted(from), response.ContentLength, most)
	}
	n, err := io.Copy(w, io.LimitReader(response.Body, most+1))
	switch {
	case err != nil:
		return Validator{}, fmt.Errorf("fetch %s: after %d bytes: %w", redacted(from), n, err)
	case n > most:
		return Validator{}, fmt.Errorf("fetch %s: more than %d bytes", redacted(from), most)
	case response.ContentLength >= 0 && n != response.ContentLength:
		return Validator{}, fmt.Errorf("fetch %s: got %d of %d bytes", redacted(from), n, response.ContentLength)
	}
	v := Validator{ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")}
	if len(v.ETag) > maxValidator || len(v.LastModified) > maxValidator {
		v = Validator{}
	}
	return v, nil
}

// client is the given client, which may not be led to what was not allowed.
func (m *Mirror) client() *http.Client {
	c := http.Client{Timeout: time.Hour}
	if m.Client != nil {
		c = *m.Client
	}
	follow := c.CheckRedirect
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if err := m.allowed(r.URL.String()); err != nil {
			return err
		}
		if follow != nil {
			return follow(r, via)
		}
		if len(via) >= 5 {
			return errors.New("more than 5 redirects")
		}
		return nil
	}
	return &c
}

// allowed refuses what is no URL of a web server, or one without encryption.
func (m *Mirror) allowed(from string) error {
	u, err := url.Parse(from)
	switch {
	case err != nil:
		return fmt.Errorf("fetch: %w", err)
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("fetch %.200q: not an https URL", redacted(from))
	case u.Scheme == "http" && !m.AllowHTTP:
		return fmt.Errorf("fetch %s: http is not encrypted, and has to be allowed", redacted(from))
	}
	return nil
}

// redacted is a URL as it may be shown: without a password, and without its query, which may be one.
func redacted(from string) string {
	u, err := url.Parse(from)
	if err != nil {
		return "a URL"
	}
	u.RawQuery = ""
	return u.Redacted()
}
