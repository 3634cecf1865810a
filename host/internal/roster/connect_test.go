package roster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConnectPorts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		granted []string
		want    []uint16
	}{
		{"none", nil, nil},
		{"ports", []string{"tcp://db.example:5432", "tcp://[2001:db8::1]:6379"}, []uint16{5432, 6379, 53}},
		{"a name for the port", []string{"tcp://db:postgres"}, nil},
		{"no port", []string{"tcp://db"}, nil},
		{"no port beside one", []string{"tcp://db:5432", "tcp://example.org"}, nil},
		{"web", []string{"https://example.org/hook/{token}", "http://[::1]/", "https://example.org:8443/?x"}, []uint16{443, 80, 8443, 53}},
		{"database", []string{"postgres://u@db/ironpost", "postgresql://db:5433/x"}, []uint16{5432, 5433, 53}},
		{"another scheme", []string{"unix:///run/x", "https://example.org"}, nil},
		{"no scheme", []string{"db:5432", "192.0.2.1:6379", "[2001:db8::1]:6379"}, []uint16{5432, 6379, 6379, 53}},
		{"a socket", []string{"/run/redis/redis.sock"}, nil},
		{"no host", []string{":6379"}, nil},
		{"port 0", []string{"tcp://db:0"}, nil},
		{"rubbish", []string{"\x00"}, nil},
	} {
		if diff := cmp.Diff(tt.want, connectPorts(tt.granted)); diff != "" {
			t.Errorf("%s: ports (-want +got):\n%s", tt.name, diff)
		}
	}
}
