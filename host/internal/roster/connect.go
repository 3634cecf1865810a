package roster

import (
	"net"
	"net/url"
	"strconv"
	"strings"
)

// dnsPort is where names are resolved over TCP when an answer is long.
const dnsPort = 53

// usualPorts are those of addresses that name none, by scheme.
var usualPorts = map[string]string{"tcp": "", "http": "80", "https": "443", "postgres": "5432", "postgresql": "5432"}

// connectPorts returns the TCP ports that a plugin with these grants may connect
// to: of tcp://HOST:PORT, of HOST:PORT, and of the addresses of web pages and databases, which may
// leave out the port. nil means that they name no ports alone, and so all.
func connectPorts(granted []string) []uint16 {
	var ports []uint16
	for _, address := range granted {
		if host, _, err := net.SplitHostPort(address); err == nil && !strings.Contains(address, "/") && host != "" {
			address = "tcp://" + address
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil
		}
		text := u.Port()
		if usual, known := usualPorts[u.Scheme]; !known {
			return nil
		} else if text == "" {
			text = usual
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil
		}
		ports = append(ports, uint16(port))
	}
	if ports != nil {
		ports = append(ports, dnsPort)
	}
	return ports
}
