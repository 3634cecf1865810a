package dockerproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// bodyRule says what body an endpoint takes. It returns what is to be sent on,
// nil for none.
type bodyRule func(body []byte) ([]byte, error)

var errBody = errors.New("it takes no body")

func noBody(body []byte) ([]byte, error) {
	if len(body) > 0 {
		return nil, errBody
	}
	return nil, nil
}

// queryRule says what parameters an endpoint takes.
type queryRule func(url.Values) error

// columns are arguments of ps that choose columns and nothing else.
var columns = regexp.MustCompile(`^-eo [a-z]+(,[a-z]+)*$`)

var errQueryTop = errors.New("its ps_args: want -eo and columns, without environ")

// topQuery admits a choice of columns: dockerd runs ps with the arguments, as root,
// and others show the environment of processes, which holds secrets.
func topQuery(query url.Values) error {
	for _, args := range query["ps_args"] {
		if !columns.MatchString(args) || strings.Contains(args, "environ") {
			return errQueryTop
		}
	}
	return nil
}

var errCheckpoint = errors.New("its checkpoint: a container is not restored from memory that was saved")

// startQuery admits no start from a checkpoint: its folder is any of the machine's, read as root.
func startQuery(query url.Values) error {
	for key := range query {
		if strings.HasPrefix(strings.ToLower(key), "checkpoint") {
			return errCheckpoint
		}
	}
	return nil
}

// connectRequest is the body of POST /networks/{id}/connect.
type connectRequest struct {
	Container      string
	EndpointConfig *endpointSettings `json:",omitempty"`
}

// endpointSettings is how a container is attached to a network, as inspecting
// it tells, so that what was saved can be restored.
type endpointSettings struct {
	IPAMConfig          *ipamConfig       `json:",omitempty"`
	Links               []string          `json:",omitempty"`
	Aliases             []string          `json:",omitempty"`
	MacAddress          string            `json:",omitempty"`
	DriverOpts          map[string]string `json:",omitempty"`
	GwPriority          int               `json:",omitempty"`
	NetworkID           string            `json:",omitempty"`
	EndpointID          string            `json:",omitempty"`
	Gateway             string            `json:",omitempty"`
	IPAddress           string            `json:",omitempty"`
	IPPrefixLen         int               `json:",omitempty"`
	IPv6Gateway         string            `json:",omitempty"`
	GlobalIPv6Address   string            `json:",omitempty"`
	GlobalIPv6PrefixLen int               `json:",omitempty"`
	DNSNames            []string          `json:",omitempty"`
}

type ipamConfig struct {
	IPv4Address  string   `json:",omitempty"`
	IPv6Address  string   `json:",omitempty"`
	LinkLocalIPs []string `json:",omitempty"`
}

// disconnectRequest is the body of POST /networks/{id}/disconnect.
type disconnectRequest struct {
	Container string
	Force     bool
}

// quarantineRequest is the body of POST /networks/create: a network that leads
// nowhere, and no other. What clients send of other networks has to be empty.
type quarantineRequest struct {
	Name           string
	Driver         string
	Internal       bool
	Options        map[string]string
	Labels         map[string]string
	CheckDuplicate *bool           `json:",omitempty"`
	Scope          string          `json:",omitempty"`
	EnableIPv4     *bool           `json:",omitempty"`
	EnableIPv6     *bool           `json:",omitempty"`
	IPAM           json.RawMessage `json:",omitempty"`
	Attachable     bool            `json:",omitempty"`
	Ingress        bool            `json:",omitempty"`
	ConfigOnly     bool            `json:",omitempty"`
	ConfigFrom     json.RawMessage `json:",omitempty"`
}

// quarantineName is the network that may be made.
const quarantineName = "ironpost-quarantine"

var errQuarantine = errors.New("its body: only the internal bridge " + quarantineName + " may be made")

// quarantineBody admits one network, and says itself what it is like.
func quarantineBody(body []byte) ([]byte, error) {
	asked := new(quarantineRequest)
	if _, err := recode(body, asked); err != nil {
		return nil, err
	}
	none := func(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
	for key, value := range asked.Options {
		if key != "com.docker.network.bridge.enable_icc" || value != "false" {
			return nil, errQuarantine
		}
	}
	for key, value := range asked.Labels {
		if key != "ironpost.protect" || value != "true" {
			return nil, errQuarantine
		}
	}
	if asked.Name != quarantineName || asked.Driver != "bridge" || !asked.Internal || asked.Scope != "" || asked.Attachable || asked.Ingress ||
		asked.ConfigOnly || !none(asked.IPAM) || !none(asked.ConfigFrom) {
		return nil, errQuarantine
	}
	yes := true
	return json.Marshal(quarantineRequest{
		Name: asked.Name, Driver: asked.Driver, Internal: true, CheckDuplicate: &yes, Options: asked.Options, Labels: asked.Labels,
	})
}

func connectBody(body []byte) ([]byte, error)    { return recode(body, new(connectRequest)) }
func disconnectBody(body []byte) ([]byte, error) { return recode(body, new(disconnectRequest)) }

// recode decodes one JSON value into v, which has to know all its fields, and
// encodes it anew.
func recode(body []byte, v any) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("its body: more than one JSON value")
	}
	return json.Marshal(v)
}
