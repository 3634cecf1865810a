package match

import "strings"

// common are texts that are in many events of one kind or another, folded. What
// is part of one of them makes a bad witness: rules are rarer than such events.
var common = [...]string{
	// Windows: paths, vendors, users, addresses, answers.
	`"c:\windows\system32\cmd.exe" /c `, `c:\windows\syswow64\`, `c:\windows\explorer.exe`, `c:\windows\temp\`,
	`c:\program files (x86)\microsoft\`, `c:\program files\`, `c:\programdata\microsoft\windows\`,
	`c:\users\administrator\appdata\local\temp\`, `c:\users\public\`, `c:\users\user\desktop\`, `c:\users\user\downloads\`,
	`appdata\roaming\microsoft\windows\`, `svchost.exe -k netsvcs -p -s `, `powershell.exe`,
	`hklm\software\microsoft\windows\currentversion\`, `hklm\system\currentcontrolset\services\`, `hku\s-1-5-21-`,
	`hkey_local_machine\software\`, `microsoft corporation`, `microsoft® windows® operating system`, `windows`,
	`nt authority\system`, `local service`, `network service`, `medium`, `high`, `low`, `system`, `true`, `false`, `signed`, `valid`,
	`.exe`, `.dll`, `.sys`, `.txt`, `.tmp`, `.log`, `.ps1`, `.js`, `.json`, `.html`, `.php`, `.zip`, `.com`, `.net`, `.org`,
	`sha1=`, `md5=`, `sha256=`, `imphash=`, `setvalue`, `dword (0x00000001)`, `0x0`, `127.0.0.1`, `localhost`,
	// Unix and the web.
	`/usr/local/bin/`, `/usr/sbin/`, `/usr/lib/systemd/systemd`, `/bin/bash -c `, `/bin/sh -c `, `/etc/`, `/var/log/`, `/var/lib/`, `/home/user/`,
	`/root/`, `/proc/`, `/dev/null`, `/tmp/`, `sudo`, `root`, `user`, `admin`, `session opened for user root`, `accepted`, `failed`,
	`password`, `connection closed by `, ` from `, ` port `, `https://www.`, `http://`, `http/1.1`, `get /`, `post /`, `mozilla/5.0 (`,
	`success`, `error`, `start`, `stop`, `create`, `delete`, `update`,
}

// isCommon reports whether a folded text is part of one that many events have.
func isCommon(text string) bool {
	for _, c := range common {
		if strings.Contains(c, text) {
			return true
		}
	}
	return false
}
