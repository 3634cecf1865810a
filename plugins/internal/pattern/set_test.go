package pattern_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/rules/extract"
	"github.com/ironpost/ironpost/sdk/event"
)

var once = sync.OnceValue(func() *pattern.Set {
	files, _ := pattern.Load(extract.Files)
	set, _ := pattern.Compile(files...)
	return set
})

func builtin(testing.TB) *pattern.Set { return once() }

// testCase is a message and the fields it must and may give, in any order.
type testCase struct {
	name, process, message string
	want                   []string
}

func run(t *testing.T, cases []testCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := fieldsOf(t, tc.process, tc.message)
			want := slices.Sorted(slices.Values(tc.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fields of %q (-want +got):\n%s", tc.message, diff)
			}
		})
	}
}

// fieldsOf returns the fields as sorted "key=value".
func fieldsOf(t testing.TB, process, message string) []string {
	out := event.LogEvent{Process: process, Message: message}
	builtin(t).Apply(&out)
	var got []string
	for _, f := range out.Fields {
		got = append(got, f.Key+"="+f.Value)
	}
	slices.Sort(got)
	return got
}

func TestSSH(t *testing.T) {
	run(t, []testCase{
		{
			"failed password", "sshd", "Failed password for root from 183.62.140.253 port 36300 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=183.62.140.253", "src_port=36300"},
		},
		{
			"failed password, invalid user", "sshd", "Failed password for invalid user admin from 5.36.59.76 port 42393 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=admin", "invalid_user=true", "src_ip=5.36.59.76", "src_port=42393"},
		},
		{
			"failed none", "sshd", "Failed none for invalid user 0 from 181.214.87.4 port 49889 ssh2",
			[]string{"event_action=ssh_failed_none", "auth_method=none", "user=0", "invalid_user=true", "src_ip=181.214.87.4", "src_port=49889"},
		},
		{
			"failed keyboard-interactive", "sshd", "Failed keyboard-interactive/pam for root from 10.0.0.1 port 5 ssh2",
			[]string{"event_action=ssh_failed_interactive", "auth_method=keyboard-interactive/pam", "user=root", "src_ip=10.0.0.1", "src_port=5"},
		},
		{
			"repeated", "sshd", "message repeated 5 times: [ Failed password for root from 5.36.59.76 port 42393 ssh2]",
			[]string{"repeat_count=5", "event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=5.36.59.76", "src_port=42393"},
		},
		{
			"ipv6", "sshd", "Failed password for root from 2001:db8::1 port 36300 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=2001:db8::1", "src_port=36300"},
		},
		{
			"ipv6 made canonical", "sshd", "Failed password for root from 2001:0DB8:0:0::1 port 36300 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=2001:db8::1", "src_port=36300"},
		},
		{
			"mapped ipv4", "sshd", "Failed password for root from ::ffff:192.0.2.7 port 36300 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=192.0.2.7", "src_port=36300"},
		},
		{
			"link-local with its zone", "sshd", "Failed password for root from fe80::1%eth0 port 36300 ssh2",
			[]string{"event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=fe80::1", "src_port=36300"},
		},
		{
			"sshd-session", "sshd-session", "Failed password for root from 192.0.2.7 port 36300 ssh2",
			[]string{"program=sshd-session", "event_action=ssh_failed_password", "auth_method=password", "user=root", "src_ip=192.0.2.7", "src_port=36300"},
		},
		{
			"accepted password", "sshd", "Accepted password for fztu from 119.137.62.142 port 49116 ssh2",
			[]string{"event_action=ssh_accepted_password", "auth_method=password", "user=fztu", "src_ip=119.137.62.142", "src_port=49116"},
		},
		{
			"accepted publickey", "sshd", "Accepted publickey for vagrant from 1.2.3.4 port 56296 ssh2: RSA SHA256:1M4RzhMyWuFS/86uPY/ce2prh/dVTHW7iD2RhpquOZA",
			[]string{"event_action=ssh_accepted_publickey", "auth_method=publickey", "user=vagrant", "src_ip=1.2.3.4", "src_port=56296"},
		},
		{
			"accepted certificate", "sshd", "Accepted publickey for bob from 1.2.3.4 port 5 ssh2: ED25519-CERT SHA256:aa ID bob@ca (serial 7) CA ED25519 SHA256:bb",
			[]string{"event_action=ssh_accepted_publickey", "auth_method=publickey", "user=bob", "src_ip=1.2.3.4", "src_port=5"},
		},
		{
			"invalid user", "sshd", "Invalid user webmaster from 173.234.31.186",
			[]string{"event_action=ssh_invalid_user", "invalid_user=true", "user=webmaster", "src_ip=173.234.31.186"},
		},
		{
			"invalid user with port", "sshd", "Invalid user pascal from 35.188.49.176 port 53502",
			[]string{"event_action=ssh_invalid_user", "invalid_user=true", "user=pascal", "src_ip=35.188.49.176", "src_port=53502"},
		},
		{
			"invalid user, empty name", "sshd", "Invalid user  from 35.188.49.176 port 53502",
			[]string{"event_action=ssh_invalid_user", "invalid_user=true", "src_ip=35.188.49.176", "src_port=53502"},
		},
		{
			"input_userauth_request", "sshd", "input_userauth_request: invalid user webmaster [preauth]",
			[]string{"event_action=ssh_invalid_user", "invalid_user=true", "user=webmaster"},
		},
		{
			"closed", "sshd", "Connection closed by 118.27.24.104 port 33594 [preauth]",
			[]string{"event_action=ssh_connection_closed", "src_ip=118.27.24.104", "src_port=33594"},
		},
		{
			"closed, old", "sshd", "Connection closed by 212.47.254.145 [preauth]",
			[]string{"event_action=ssh_connection_closed", "src_ip=212.47.254.145"},
		},
		{
			"closed by authenticating user", "sshd", "Connection closed by authenticating user root 206.81.24.125 port 45362 [preauth]",
			[]string{"event_action=ssh_connection_closed", "user=root", "src_ip=206.81.24.125", "src_port=45362"},
		},
		{
			"closed by invalid user", "sshd", "Connection closed by invalid user root 206.81.24.125 port 45362 [preauth]",
			[]string{"event_action=ssh_connection_closed", "user=root", "invalid_user=true", "src_ip=206.81.24.125", "src_port=45362"},
		},
		{
			"closed by the empty user", "sshd", "Connection closed by invalid user  206.81.24.125 port 45362 [preauth]",
			[]string{"event_action=ssh_connection_closed", "invalid_user=true", "src_ip=206.81.24.125", "src_port=45362"},
		},
		{
			"reset", "sshd", "Connection reset by authenticating user root 80.94.92.63 port 49115 [preauth]",
			[]string{"event_action=ssh_connection_reset", "user=root", "src_ip=80.94.92.63", "src_port=49115"},
		},
		{
			"disconnected", "sshd", "Disconnected from user bob 10.1.1.1 port 4",
			[]string{"event_action=ssh_disconnected", "user=bob", "src_ip=10.1.1.1", "src_port=4"},
		},
		{
			"disconnected, no user", "sshd", "Disconnected from 10.1.1.1 port 4",
			[]string{"event_action=ssh_disconnected", "src_ip=10.1.1.1", "src_port=4"},
		},
		{
			"disconnecting", "sshd", "Disconnecting authenticating user root 10.1.1.1 port 4: Too many authentication failures [preauth]",
			[]string{"event_action=ssh_too_many_failures", "user=root", "src_ip=10.1.1.1", "src_port=4"},
		},
		{
			"received disconnect, old", "sshd", "Received disconnect from 187.141.143.180: 11: Bye Bye [preauth]",
			[]string{"event_action=ssh_received_disconnect", "src_ip=187.141.143.180"},
		},
		{
			"received disconnect, error", "sshd", "error: Received disconnect from 103.99.0.122: 14: No more user authentication methods available. [preauth]",
			[]string{"event_action=ssh_received_disconnect", "src_ip=103.99.0.122"},
		},
		{
			"received disconnect", "sshd", "Received disconnect from 10.1.1.1 port 4711:11: disconnected by user",
			[]string{"event_action=ssh_received_disconnect", "src_ip=10.1.1.1", "src_port=4711"},
		},
		{
			"received disconnect, old, ipv6", "sshd", "Received disconnect from 2001:db8::1: 11: Bye Bye [preauth]",
			[]string{"event_action=ssh_received_disconnect", "src_ip=2001:db8::1"},
		},
		{
			"maximum attempts", "sshd", "error: maximum authentication attempts exceeded for invalid user admin from 10.1.1.1 port 4711 ssh2 [preauth]",
			[]string{"event_action=ssh_max_attempts", "user=admin", "invalid_user=true", "src_ip=10.1.1.1", "src_port=4711"},
		},
		{
			"no identification, old", "sshd", "Did not receive identification string from 5.188.10.180",
			[]string{"event_action=ssh_no_identification", "src_ip=5.188.10.180"},
		},
		{
			"no identification", "sshd", "Did not receive identification string from 5.188.10.180 port 4",
			[]string{"event_action=ssh_no_identification", "src_ip=5.188.10.180", "src_port=4"},
		},
		{
			"reverse mapping", "sshd", "reverse mapping checking getaddrinfo for ns.marryaldkfaczcz.com [173.234.31.186] failed - POSSIBLE BREAK-IN ATTEMPT!",
			[]string{"event_action=ssh_reverse_mapping", "src_ip=173.234.31.186"},
		},
		{
			"reverse mapping back", "sshd", "Address 175.102.13.6 maps to ns.example.com, but this does not map back to the address - POSSIBLE BREAK-IN ATTEMPT!",
			[]string{"event_action=ssh_reverse_mapping", "src_ip=175.102.13.6"},
		},
		{
			"pam failure", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=173.234.31.186",
			[]string{"event_action=pam_auth_failure", "pam_service=sshd", "tty=ssh", "src_ip=173.234.31.186"},
		},
		{
			"pam failure with user", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=112.95.230.3  user=root",
			[]string{"event_action=pam_auth_failure", "pam_service=sshd", "tty=ssh", "src_ip=112.95.230.3", "user=root"},
		},
		{
			"pam failure with a host name", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=ec2-52-80-34-196.cn-north-1.compute.amazonaws.com.cn",
			[]string{"event_action=pam_auth_failure", "pam_service=sshd", "tty=ssh", "src_host=ec2-52-80-34-196.cn-north-1.compute.amazonaws.com.cn"},
		},
		{
			"more pam failures", "sshd", "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=5.36.59.76  user=root",
			[]string{"event_action=pam_auth_failure", "failure_count=5", "tty=ssh", "src_ip=5.36.59.76", "user=root"},
		},
		{
			"one more pam failure", "sshd", "PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=5.36.59.76",
			[]string{"event_action=pam_auth_failure", "failure_count=1", "tty=ssh", "src_ip=5.36.59.76"},
		},
		{
			"pam user unknown", "sshd", "pam_unix(sshd:auth): check pass; user unknown",
			[]string{"event_action=pam_user_unknown", "pam_service=sshd"},
		},
		{
			"old pam", "sshd(pam_unix)", "authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=218.188.2.4",
			[]string{"event_action=pam_auth_failure", "pam_service=sshd", "tty=NODEVssh", "src_ip=218.188.2.4"},
		},
		{
			"old pam session", "su(pam_unix)", "session opened for user cyrus by (uid=0)",
			[]string{"event_action=pam_session_opened", "pam_service=su", "user=cyrus", "by_uid=0"},
		},
		{
			"session opened", "sshd", "pam_unix(sshd:session): session opened for user bob(uid=1000) by (uid=0)",
			[]string{"event_action=pam_session_opened", "pam_service=sshd", "user=bob", "user_uid=1000", "by_uid=0"},
		},
		{
			"session closed", "sshd-session", "pam_unix(sshd:session): session closed for user bob",
			[]string{"program=sshd-session", "event_action=pam_session_closed", "pam_service=sshd", "user=bob"},
		},
		{
			"not allowed", "sshd", "User root from 192.168.1.1 not allowed because not listed in AllowUsers",
			[]string{"event_action=ssh_user_not_allowed", "user=root", "src_ip=192.168.1.1"},
		},
		{
			"not allowed, no address", "sshd", "User bob not allowed because account is locked",
			[]string{"event_action=ssh_user_not_allowed", "user=bob"},
		},
		{
			"no common algorithm", "sshd", "Unable to negotiate with 123.57.135.134 port 45001: no matching key exchange method found. Their offer: x [preauth]",
			[]string{"event_action=ssh_negotiation_failed", "src_ip=123.57.135.134", "src_port=45001"},
		},
		{
			"timeout", "sshd", "fatal: Timeout before authentication for 192.168.9.212 port 47056",
			[]string{"event_action=ssh_timeout", "src_ip=192.168.9.212", "src_port=47056"},
		},
		{
			"timeout, new", "sshd", "Timeout before authentication for connection from 192.0.2.1 to 192.0.2.2, pid = 77",
			[]string{"event_action=ssh_timeout", "src_ip=192.0.2.1"},
		},
		{
			"broken packets", "sshd", "ssh_dispatch_run_fatal: Connection from 192.168.9.213 port 48680: message authentication code incorrect [preauth]",
			[]string{"event_action=ssh_protocol_error", "src_ip=192.168.9.213", "src_port=48680"},
		},
		{
			"bad banner", "sshd", "banner exchange: Connection from 192.0.2.9 port 80: invalid format",
			[]string{"event_action=ssh_bad_protocol", "src_ip=192.0.2.9", "src_port=80"},
		},
		{
			"bad banner, old", "sshd", "Bad protocol version identification 'GET / HTTP/1.1' from 192.0.2.9 port 80",
			[]string{"event_action=ssh_bad_protocol", "src_ip=192.0.2.9", "src_port=80"},
		},
		{
			"root refused", "sshd", "ROOT LOGIN REFUSED FROM 192.0.2.9 port 80",
			[]string{"event_action=ssh_root_refused", "user=root", "src_ip=192.0.2.9", "src_port=80"},
		},
		{
			"connection", "sshd", "Connection from 192.0.2.9 port 80 on 192.0.2.10 port 22 rdomain \"\"",
			[]string{"event_action=ssh_connection", "src_ip=192.0.2.9", "src_port=80"},
		},
		{"not allowed, without a name", "sshd", "User not allowed because listed in DenyUsers", nil},
		{"something else", "sshd", "Server key generation complete.", nil},
		{"another program", "httpd", "Failed password for root from 183.62.140.253 port 36300 ssh2", nil},
	})
}

// TestInjection holds what an attacker writes to change whom a line accuses.
// The true peer is 192.0.2.66; 8.8.8.8 must never be an address.
func TestInjection(t *testing.T) {
	const peer = "src_ip=192.0.2.66"
	cases := []testCase{
		{
			"user with an address", "sshd", "Failed password for invalid user x from 8.8.8.8 from 192.0.2.66 port 5 ssh2",
			[]string{"user=x from 8.8.8.8", peer},
		},
		{
			"user with the whole tail", "sshd", "Failed password for invalid user x from 8.8.8.8 port 22 ssh2 from 192.0.2.66 port 5 ssh2",
			[]string{"user=x from 8.8.8.8 port 22 ssh2", peer},
		},
		{
			"user with a tail and a key", "sshd", "Failed password for invalid user x from 8.8.8.8 port 22 ssh2: RSA SHA256:aa from 192.0.2.66 port 5 ssh2",
			[]string{"user=x from 8.8.8.8 port 22 ssh2: RSA SHA256:aa", peer},
		},
		{
			"user with an escaped line end", "sshd", "Failed password for invalid user x#012Dec 10 06:55:46 h sshd[1]: Failed password for root from 8.8.8.8 port 22 ssh2#012 from 192.0.2.66 port 5 ssh2",
			[]string{peer},
		},
		{
			"invalid user with an address", "sshd", "Invalid user x from 8.8.8.8 port 22 from 192.0.2.66 port 5",
			[]string{"user=x from 8.8.8.8 port 22", peer},
		},
		{"invalid user, old form", "sshd", "Invalid user x from 8.8.8.8 from 192.0.2.66", []string{peer}},
		{"invalid user that begins with from", "sshd", "Invalid user from 8.8.8.8 from 192.0.2.66 port 5", []string{peer}},
		{"peer without an address", "sshd", "Failed password for invalid user x from 8.8.8.8 port 22 ssh2 from UNKNOWN port 65535 ssh2", nil},
		{"plain key", "sshd", "Failed publickey for x from 8.8.8.8 port 22 ssh2: RSA SHA256:aa from 192.0.2.66 port 5 ssh2: ED25519 SHA256:bb", []string{peer}},
		{
			"certificate with a tail as its id", "sshd", "Failed publickey for x from 192.0.2.66 port 5 ssh2: RSA-CERT SHA256:aa ID y from 8.8.8.8 port 22 ssh2: RSA (serial 0) CA RSA SHA256:bb",
			[]string{"ambiguous=src_ip"},
		},
		{"certificate with half a tail as its id", "sshd", "Failed publickey for x from 192.0.2.66 port 5 ssh2: RSA-CERT SHA256:aa ID y from 8.8.8.8 port 22 ssh2 (serial 0) CA RSA SHA256:bb", []string{peer}},
		{
			"host key with names", "sshd", `Failed hostbased for x from 192.0.2.66 port 5 ssh2: RSA SHA256:aa, client user "y from 8.8.8.8 port 22 ssh2: RSA SHA256:b", client host "h"`,
			[]string{"ambiguous=src_ip"},
		},
		{
			"principal that ends like a tail", "sshd", "Failed gssapi-with-mic for x from 192.0.2.66 port 5 ssh2: y from 8.8.8.8 port 22 ssh2",
			[]string{"ambiguous=src_ip"},
		},
		{"closed", "sshd", "Connection closed by invalid user x 8.8.8.8 port 22 192.0.2.66 port 5 [preauth]", []string{"user=x 8.8.8.8 port 22", peer}},
		{"closed, user with from", "sshd", "Connection closed by invalid user x from 8.8.8.8 port 22 ssh2 192.0.2.66 port 43892 [preauth]", []string{"user=x from 8.8.8.8 port 22 ssh2", "invalid_user=true", peer}},
		{"closed, with the mark", "sshd", "Connection closed by invalid user 8.8.8.8 port 22 [preauth] 192.0.2.66 port 5 [preauth]", []string{peer}},
		{"disconnecting", "sshd", "Disconnecting invalid user x 8.8.8.8 port 22: Too many authentication failures 192.0.2.66 port 5: Too many authentication failures [preauth]", []string{peer}},
		{"disconnecting for a change of user", "sshd", "Disconnecting invalid user x 192.0.2.66 port 5: Change of username or service not allowed: (x,ssh-connection) -> (y 8.8.8.8 port 22: Too many authentication failures,ssh-connection) [preauth]", nil},
		{"reason of a disconnect", "sshd", "Received disconnect from 192.0.2.66 port 5:11: from 8.8.8.8 port 22:11: bye [preauth]", []string{peer}},
		{"reason of a disconnect, old", "sshd", "Received disconnect from 192.0.2.66: 11: from 8.8.8.8 port 22:11: bye [preauth]", []string{peer}},
		{"maximum attempts", "sshd", "error: maximum authentication attempts exceeded for invalid user x from 8.8.8.8 port 22 ssh2 from 192.0.2.66 port 5 ssh2 [preauth]", []string{peer}},
		{"banner", "sshd", "Bad protocol version identification 'x' from 8.8.8.8 port 22' from 192.0.2.66 port 5", []string{peer}},
		{"banner without an address", "sshd", "Bad protocol version identification 'x from 8.8.8.8", nil},
		{"algorithms", "sshd", "Unable to negotiate with 192.0.2.66 port 5: no matching cipher found. Their offer: 8.8.8.8 port 22: [preauth]", []string{peer}},
		{"name in DNS", "sshd", "reverse mapping checking getaddrinfo for x[8.8.8.8]failed [192.0.2.66] failed - POSSIBLE BREAK-IN ATTEMPT!", []string{peer}},
		{"not allowed", "sshd", "User x from 8.8.8.8 not allowed because not listed in AllowUsers from 192.0.2.66 not allowed because not listed in AllowUsers", []string{peer}},
		{"not allowed, reason without an address", "sshd", "User x from 8.8.8.8 not allowed because account is locked", []string{"user=x from 8.8.8.8"}},
		{"pam user", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.66  user=x rhost=8.8.8.8", []string{"user=x rhost=8.8.8.8", peer}},
		{"pam remote user", "vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=8.8.8.8 rhost=192.0.2.66", []string{"by_user=x rhost=8.8.8.8", peer}},
		{"pam remote user with a user", "vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=8.8.8.8  user=y rhost=192.0.2.66", []string{"ambiguous=src_ip"}},
		{"pam remote user, honest", "vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=192.0.2.66", []string{"by_user=bob", peer}},
		{"crashed program", "kernel", "[ 1.0] from 8.8.8.8[77]: segfault at 0 ip 0 sp 0 error 4", []string{"crashed_process=from 8.8.8.8"}},
		{"address with a leading zero", "sshd", "Failed password for root from 08.8.8.8 port 22 ssh2", nil},
		{"port out of range", "sshd", "Failed password for root from 8.8.8.8 port 65536 ssh2", nil},
		{"text after the tail", "sshd", "Failed password for root from 8.8.8.8 port 22 ssh2 really", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := fieldsOf(t, tc.process, tc.message)
			for _, want := range tc.want {
				if !slices.Contains(got, want) {
					t.Errorf("got %q, want %q among them", got, want)
				}
			}
			for _, field := range got {
				if field == "src_ip=8.8.8.8" || strings.HasPrefix(field, "src_ip=") && !slices.Contains(tc.want, field) {
					t.Errorf("got %q, want no such address", field)
				}
			}
		})
	}
}

func TestApplyLocal(t *testing.T) {
	for _, tc := range []testCase{
		{
			"sudo", "sudo", "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
			[]string{"command=/bin/sh", "event_action=sudo_command", "pwd=/", "target_user=root", "tty=pts/0", "user=bob"},
		},
		{
			"no address from pam", "sudo", "pam_unix(sudo:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=8.8.8.8  user=bob",
			[]string{"event_action=pam_auth_failure", "pam_service=sudo", "tty=ssh", "user=bob"},
		},
		{"sshd", "sshd", "Failed password for root from 8.8.8.8 port 22 ssh2", nil},
		{"sshd by pam's name", "vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser= rhost=8.8.8.8", nil},
		{"kernel", "kernel", "device eth0 entered promiscuous mode", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := event.LogEvent{Process: tc.process, Message: tc.message}
			builtin(t).ApplyLocal(&out)
			var got []string
			for _, f := range out.Fields {
				got = append(got, f.Key+"="+f.Value)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepeatedIsOnlyTheWholeForm(t *testing.T) {
	for _, message := range []string{
		"message repeated 5 times: [ x", "message repeated x times: [ y]", "message repeated 5 times: y", "message repeated ", "message repeated 99999999999 times: [ x]",
	} {
		if got := fieldsOf(t, "sshd", message); len(got) != 0 {
			t.Errorf("%q: got %q, want nothing", message, got)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, process := range []string{"sshd", "sshd-session", "sudo", "su", "useradd", "systemd-logind", "CRON", "kernel", "su(pam_unix)", ""} {
		for _, message := range []string{
			"Failed publickey for x from 192.0.2.66 port 5 ssh2: RSA-CERT SHA256:aa ID y from 8.8.8.8 port 22 ssh2: RSA",
			"Connection closed by invalid user  206.81.24.125 port 45362 [preauth]", "User  not allowed because ", "User not allowed because 0", "PAM 5 more authentication failures; logname= ruser= rhost=",
			"bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls", "(to root) bob on pts/0", "+ pts/0 bob:root",
			"new user: name=bob, UID=1", "add 'bob' to group 'sudo'", "change user 'bob' UID from '1' to '0'", "user bob added by root to group sudo",
			"New session '5' of user 'bob' with class 'user'.", "(root) CMD (x)", "[ 1.0] device eth0 entered promiscuous mode", "x[1]: segfault at 0", "traps: x[1] general protection",
			"pam_unix(sudo:session): session opened for user root(uid=0) by bob(uid=1000)", "message repeated 2 times: [ x]", " promiscuous mode", "entered promiscuous mode",
		} {
			f.Add(process, message)
		}
	}
	f.Fuzz(func(t *testing.T, process, message string) {
		out := event.LogEvent{Process: process, Message: message}
		builtin(t).Apply(&out)
		if out.Message != message {
			t.Fatalf("message: got %q, want %q", out.Message, message)
		}
		if ip, ok := out.Get("src_ip"); ok {
			if canonical, ok := pattern.Address(ip); !ok || canonical != ip {
				t.Fatalf("src_ip %q is not a canonical address", ip)
			}
		}
		if port, ok := out.Get("src_port"); ok && port == "" {
			t.Fatalf("src_port %q is not a port", port)
		}
	})
}
