package dockerproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
