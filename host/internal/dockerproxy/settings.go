package dockerproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// maxAnswer bounds an answer that is read to be shortened, in bytes.
const maxAnswer = 8 << 20

// answerRule says what of an answer the plugin gets.
type answerRule func(body []byte) ([]byte, error)

// containerSettings is what the scope "settings" shows of a container: how far
// it is let out of its confinement. The environment, the command with its
// arguments and health checks, where secrets stand, are left out.
type containerSettings struct {
	ID         string `json:"Id"`
	Name       string
	Created    string
	Image      string
	State      containerState
	HostConfig hostSettings
	Mounts     []mountPoint
	Config     imageSettings
}

type containerState struct {
	Status          string
	Running, Paused bool
	Pid             int
	StartedAt       string
}

type hostSettings struct {
	Privileged, ReadonlyRootfs                                       bool
	NetworkMode, PidMode, IpcMode, UTSMode, UsernsMode, CgroupnsMode string
	CapAdd, CapDrop, SecurityOpt, DeviceCgroupRules                  []string
	Devices                                                          []deviceMapping
	Tmpfs                                                            map[string]string `json:",omitempty"`
	Runtime                                                          string
}

type deviceMapping struct{ PathOnHost, PathInContainer, CgroupPermissions string }

type mountPoint struct {
	Type, Name, Source, Destination, Mode string
	RW                                    bool
	Propagation                           string
}

type imageSettings struct {
	User, Image, Hostname string
	Tty                   bool
	Labels                map[string]string
}

func settingsOnly(body []byte) ([]byte, error) {
	var s containerSettings
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("read the settings of a container: %w", err)
	}
	return json.Marshal(s)
}

// endpointKey is the key of a request's endpoint in its context.
type endpointKey struct{}

// shorten leaves in an answer what the endpoint of its request shows. Errors of
// Docker's are passed on as they are.
func shorten(r *http.Response) error {
	e, _ := r.Request.Context().Value(endpointKey{}).(endpoint)
	if e.answer == nil || r.StatusCode != http.StatusOK {
		return nil
	}
	given, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(given) > maxAnswer {
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	body, err := e.answer(given)
	if err != nil {
		return err
	}
	if err := r.Body.Close(); err != nil {
		return fmt.Errorf("close the answer: %w", err)
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// withEndpoint lets shorten know what a request is for.
func withEndpoint(r *http.Request, e endpoint) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), endpointKey{}, e))
}
