package roster

import (
	"net/url"
	"strconv"
)

// dnsPort is where names are resolved over TCP when an answer is long.
const dnsPort = 53

// connectPorts returns the TCP ports that a plugin with these grants may connect
// to: of tcp://HOST:PORT, and of the addresses of web pages, which may leave out
// the port. nil means that they name no ports alone, and so all.
func connectPorts(granted []string) []uint16 {
	var ports []uint16
	for _, address := range granted {
		u, err := url.Parse(address)
		if err != nil {
			return nil
		}
		text := u.Port()
		switch {
		case u.Scheme == "https" && text == "":
			text = "443"
		case u.Scheme == "http" && text == "":
			text = "80"
		case u.Scheme != "tcp" && u.Scheme != "https" && u.Scheme != "http":
			return nil
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
