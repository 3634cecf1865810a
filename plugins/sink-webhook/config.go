package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/sink-webhook/deliver"
	"github.com/ironpost/ironpost/sdk/event"
)

// config is the section [webhook].
type config struct {
	URL         string        `config:"url" help:"where to send, https://HOST/PATH; {token} in the path or query stands for token; empty: nothing is sent"`
	Token       string        `config:"token" secret:"true" help:"secret part of url; when url has no {token}, it is sent as a bearer token"`
	Secret      string        `config:"secret" secret:"true" help:"signs every message (HMAC-SHA256), 16 bytes or more, or whsec_ and base64; several with blanks between sign side by side"`
	Format      string        `config:"format" oneof:"json,slack" help:"form of the messages; slack is also taken by Mattermost, Rocket.Chat and Discord"`
	Name        string        `config:"name" help:"what this host is called in messages; empty: its host name"`
	Events      []string      `config:"events" oneof:"alerts,actions" help:"what to send"`
	MinSeverity string        `config:"min_severity" oneof:"informational,low,medium,high,critical" help:"alerts below are not sent"`
	Silenced    bool          `config:"include_silenced" help:"send alerts too that a silence holds back"`
	Actions     []string      `config:"actions" help:"verbs of the actions to send, as notify or block; empty: all"`
	Timeout     time.Duration `config:"timeout" min:"100ms" max:"25s" help:"how long one attempt may take"`
	RetryMin    time.Duration `config:"retry_min" min:"10ms" max:"1m" help:"pause after the first failure; it doubles with each further one"`
	RetryMax    time.Duration `config:"retry_max" min:"10ms" max:"1h" help:"longest pause between attempts"`
	MaxAge      time.Duration `config:"max_age" min:"0s" max:"720h" help:"age past which an event is not sent any more, and counted; 0s: none"`
	Permanent   []string      `config:"permanent" help:"statuses after which an event is given up, and counted; all others but 2xx are tried again"`
	CAFile      string        `config:"ca_file" help:"file with the authorities (PEM) that alone are trusted; empty: those of the system"`
}

func defaults() config {
	return config{
		Format:      "json",
		Events:      []string{alerts, actions},
		MinSeverity: event.SeverityInfo.String(),
		Timeout:     10 * time.Second,
		RetryMin:    time.Second,
		RetryMax:    5 * time.Minute,
		MaxAge:      24 * time.Hour,
		Permanent:   []string{"400", "413", "415", "422"},
	}
}

const (
	alerts  = "alerts"
	actions = "actions"
	// placeholder in a URL stands for the token.
	placeholder = "{token}"
)

// client returns how to deliver. No error quotes a secret.
func (c *config) client() (deliver.Config, error) {
	out := deliver.Config{Timeout: c.Timeout, RetryMin: c.RetryMin, RetryMax: max(c.RetryMin, c.RetryMax)}
	if err := c.target(&out); err != nil {
		return out, err
	}
	for _, text := range c.Permanent {
		status, err := strconv.Atoi(text)
		if err != nil || status < 300 || status > 599 {
			return out, fmt.Errorf("permanent: %q: write statuses from 300 to 599", text)
		}
		out.Permanent = append(out.Permanent, status)
	}
	var err error
	if out.Secrets, err = deliver.ParseSecrets(c.Secret); err != nil {
		return out, fmt.Errorf("secret: %w", err)
	}
	if c.CAFile != "" && !filepath.IsAbs(c.CAFile) {
		return out, fmt.Errorf("ca_file: %q is relative; write the absolute path", c.CAFile)
	}
	return out, nil
}

// target sets the URL, and what the token is for.
func (c *config) target(out *deliver.Config) error {
	const want = "write https://HOST/PATH"
	full := c.URL
	if strings.Contains(full, placeholder) {
		if c.Token == "" {
			return errors.New("url: it has " + placeholder + ", and token is not set")
		}
		full = strings.ReplaceAll(full, placeholder, c.Token)
	} else {
		out.Bearer = c.Token
	}
	// A token in place of the host is refused here; errors would quote it.
	if _, err := url.Parse(c.URL); err != nil {
		return errors.New("url: it cannot be read; " + want)
	}
	var err error
	if out.URL, err = url.Parse(full); err != nil {
		return errors.New("url: it cannot be read with the token; " + want)
	}
	u := out.URL
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("url: scheme %q, host %q; %s", u.Scheme, u.Host, want)
	case u.User != nil:
		return errors.New("url: a name and password in it would be shown; use token")
	case u.Fragment != "":
		return errors.New("url: a fragment (#) is never sent; leave it out")
	}
	for _, r := range out.Bearer {
		if r <= ' ' || r > '~' {
			return errors.New("token: it holds a character that no header can carry")
		}
	}
	if _, err := http.NewRequest(http.MethodPost, u.String(), http.NoBody); err != nil { //nolint:noctx // it is never sent
		return errors.New("url: no request can be made of it; " + want)
	}
	return nil
}
