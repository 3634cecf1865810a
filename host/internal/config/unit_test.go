package config

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"2ms", 2 * time.Millisecond, true},
		{"1h30m", 90 * time.Minute, true},
		{"7d", 168 * time.Hour, true},
		{"1d12h", 36 * time.Hour, true},
		{"0d", 0, true},
		{"-1s", -time.Second, true}, // bounds refuse it where it is wrong
		{"", 0, false},
		{"5", 0, false},
		{"d", 0, false},
		{"-1d", 0, false},
		{"1d-1h", 0, false},
		{"1.5d", 0, false},
		{"1d1d", 0, false},
		{"106751d", 106751 * 24 * time.Hour, true},
		{"106752d", 0, false},
		{"106751d24h", 0, false},
		{"4294967295d", 0, false},
	}
	for _, tt := range tests {
		got, err := parseDuration(tt.text)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("parseDuration(%q): got %v, %v, want %v, ok %v", tt.text, got, err, tt.want, tt.ok)
		}
		if !tt.ok {
			continue
		}
		if back, err := parseDuration(formatDuration(got)); err != nil || back != got {
			t.Errorf("parseDuration(formatDuration(%v)) = parseDuration(%q): got %v, %v", got, formatDuration(got), back, err)
		}
	}
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", 48 * time.Hour: "2d", 90 * time.Second: "1m30s", time.Minute: "1m", 0: "0s", 10 * time.Second: "10s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%d): got %s, want %s", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"4096", 4096, true},
		{"128KiB", 128 << 10, true},
		{"128 KiB", 128 << 10, true},
		{"1MB", 1000000, true},
		{"1kB", 1000, true},
		{"1KB", 1000, true},
		{"7B", 7, true},
		{"8388607TiB", 8388607 << 40, true},
		{"8388608TiB", 0, false},
		{"9223372036854775808", 0, false},
		{"", 0, false},
		{"KiB", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1K", 0, false},
		{"1.5MiB", 0, false},
		{"1kib", 0, false},
	}
	for _, tt := range tests {
		got, err := parseSize(tt.text)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("parseSize(%q): got %d, %v, want %d, ok %v", tt.text, got, err, tt.want, tt.ok)
		}
		if back, err := parseSize(formatSize(got)); err != nil || back != got {
			t.Errorf("parseSize(%q): got %d, %v, want %d", formatSize(got), back, err, got)
		}
	}
}

func TestFormats(t *testing.T) {
	tests := []struct {
		format Format
		text   string
		want   string // "" when it is refused
	}{
		{CIDR, "192.0.2.7", "192.0.2.7/32"},
		{CIDR, "192.0.2.0/24", "192.0.2.0/24"},
		{CIDR, "2001:DB8::1", "2001:db8::1/128"},
		{CIDR, "::ffff:192.0.2.7", "192.0.2.7/32"},
		{CIDR, "::ffff:192.0.2.0/120", "192.0.2.0/24"},
		{CIDR, "0.0.0.0/0", "0.0.0.0/0"},
		{CIDR, "::ffff:0.0.0.0/64", ""},
		{CIDR, "fe80::1%eth0", ""},
		{CIDR, "192.0.2.7/24", ""},
		{CIDR, "192.0.2.7/33", ""},
		{CIDR, "192.0.2", ""},
		{CIDR, "010.0.0.1", ""},
		{HostPort, ":9090", ":9090"},
		{HostPort, "127.0.0.1:0", "127.0.0.1:0"},
		{HostPort, "[::1]:9090", "[::1]:9090"},
		{HostPort, "a-b.example:1", "a-b.example:1"},
		{HostPort, "::1:9090", ""},
		{HostPort, "[::1:9090", ""},
		{HostPort, "[x]:1", ""},
		{HostPort, "localhost", ""},
		{HostPort, "localhost:", ""},
		{HostPort, "localhost:http", ""},
		{HostPort, "localhost:+1", ""},
		{HostPort, "a b:1", ""},
		{Interface, "eth0", "eth0"},
		{Interface, "enp0s31f6.100", "enp0s31f6.100"},
		{Interface, "123456789012345", "123456789012345"},
		{Interface, "1234567890123456", ""},
		{Interface, "a b", ""},
		{Interface, "eth0:1", ""},
		{Interface, "..", ""},
		{Path, "/var/lib", "/var/lib"},
		{Path, "a\nb", ""},
		{PublicKey, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"},
		{PublicKey, "untrusted comment: minisign public key", ""},
		{PublicKey, "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7", ""},
		{PublicKey, "AAQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", ""},
	}
	for _, tt := range tests {
		got, problem := tt.format.check(tt.text)
		if tt.want == "" && problem == "" || tt.want != "" && (got != tt.want || problem != "") {
			t.Errorf("%s %q: got %q, %q, want %q", tt.format, tt.text, got, problem, tt.want)
		}
	}
}
