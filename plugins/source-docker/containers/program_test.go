package containers

import "testing"

func TestProgram(t *testing.T) {
	for _, c := range []struct{ command, want string }{
		{"", ""},
		{"/usr/sbin/sshd -D -e", "sshd"},
		{"postgres", "postgres"},
		{"docker-entrypoint.sh postgres -c log_statement=all", "postgres"},
		{"/docker-entrypoint.sh nginx -g 'daemon off;'", "nginx"},
		{"/sbin/tini -g -- /usr/local/bin/docker-entrypoint.sh mysqld", "mysqld"},
		{"dumb-init sshd", "sshd"},
		{"env LANG=C /usr/sbin/sshd -D", "sshd"},
		{"/entrypoint", ""},
		{"/bin/sh -c '/usr/sbin/sshd -D -e'", ""},
		{"tini -- sh -c 'echo sshd'", ""},
		{"/busybox sh -c 'echo sshd'", ""},
		{"'/my programs/sshd' -D", ""},
		{"python3 -m http.server", ""},
		{"gosu app sshd", ""},
		{"  /x//sshd/ ", "sshd"},
	} {
		if got := program(c.command); got != c.want {
			t.Errorf("%q: got %q, want %q", c.command, got, c.want)
		}
	}
}
