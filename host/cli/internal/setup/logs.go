package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// LogFile is a log that exists.
type LogFile struct {
	// Path is an absolute path or a glob.
	Path string
	// What says what is in it.
	What string
	// Format is the parser's format.
	Format string
	// journaled says that the journal holds the same lines; within names the log
	// that does, where another is written by the same syslog daemon.
	journaled bool
	within    string
}

// auditLog is where auditd writes.
const auditLog = "/var/log/audit/audit.log"

// known are the logs that are looked for, with their format.
func known() []LogFile {
	syslog := func(path, what, within string) LogFile { return LogFile{path, what, "syslog", true, within} }
	own := func(path, what, format string) LogFile { return LogFile{path, what, format, false, ""} }
	return []LogFile{
		syslog("/var/log/auth.log", "logins (Debian, Ubuntu)", ""),
		syslog("/var/log/secure", "logins (Red Hat)", ""),
		syslog("/var/log/syslog", "services (Debian, Ubuntu)", ""),
		syslog("/var/log/messages", "services (Red Hat)", ""),
		syslog("/var/log/maillog", "mail (Red Hat)", ""),
		syslog("/var/log/cron", "cron (Red Hat)", ""),
		syslog("/var/log/kern.log", "kernel", "/var/log/syslog"),
		syslog("/var/log/mail.log", "mail", "/var/log/syslog"),
		own(auditLog, "commands and files (auditd)", "auditd"),
		own("/var/log/dpkg.log", "packages (Debian, Ubuntu)", "text"),
		own("/var/log/nginx/*.log", "nginx", "web"),
		own("/var/log/apache2/*.log", "Apache (Debian, Ubuntu)", "web"),
		own("/var/log/httpd/*_log", "Apache (Red Hat)", "web"),
		own("/var/log/postgresql/*.log", "PostgreSQL", "text"),
		own("/var/log/mysql/error.log", "MySQL, MariaDB (Debian, Ubuntu)", "text"),
		own("/var/log/mysqld.log", "MySQL (Red Hat)", "text"),
		own("/var/log/mariadb/mariadb.log", "MariaDB (Red Hat)", "text"),
		own("/var/log/vsftpd.log", "vsftpd", "text"),
		own("/var/log/proftpd/proftpd.log", "ProFTPD", "text"),
		own("/var/log/openvpn/openvpn.log", "OpenVPN", "text"),
	}
}

// logs returns the known logs that exist below root, without those whose lines
// stand in another one, too.
func logs(root string) ([]LogFile, error) {
	var out []LogFile
	for _, log := range known() {
		paths, err := filepath.Glob(filepath.Join(root, log.Path))
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", log.Path, err)
		}
		twice := slices.ContainsFunc(out, func(o LogFile) bool { return o.Path == log.within })
		if slices.ContainsFunc(paths, isFile) && !twice {
			out = append(out, log)
		}
	}
	return out, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
