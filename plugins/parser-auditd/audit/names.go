package audit

// Fields returns the names of the fields that events of audit have: what this package
// sets, and the names of the field dictionary of the Linux audit project, also in
// capitals where auditd adds what a number means.
func Fields() []string {
	return []string{
		"audit.id", "audit.types", "audit_defect", "audit_dropped_fields", "command", "event_action", "event.outcome", "login_uid", "path.*",
		"proctitle", "user", "user_uid", "src_ip", "src_port", "dst_ip", "dst_port",
		"UID", "GID", "AUID", "SYSCALL", "SUID", "SGID", "FSUID", "FSGID", "EUID", "EGID", "ARCH", "OUID", "OGID", "SADDR", "ID", "OBJ_UID", "OAUID",

		"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "acct", "acl", "action", "added", "addr", "apparmor", "arch", "argc", "audit_backlog_limit",
		"audit_backlog_wait_time", "audit_enabled", "audit_failure", "audit_pid", "auid", "banners", "bool", "bus", "cap_fe", "cap_fi", "cap_fp", "cap_fver",
		"cap_pa", "cap_pe", "cap_pi", "cap_pp", "capability", "category", "cgroup", "changed", "cipher", "class", "cmd", "code", "comm", "compat", "cwd",
		"daddr", "data", "default-context", "dest", "dev", "device", "dir", "direction", "dmac", "dport", "egid", "enforcing", "entries", "errno", "euid",
		"exe", "exit", "fam", "family", "fd", "fe", "feature", "fi", "file", "flags", "format", "fp", "frootid", "fsgid", "fsuid", "fver", "gid", "grantors",
		"grp", "hook", "hostname", "icmp_type", "id", "igid", "img-ctx", "inif", "ino", "inode", "inode_gid", "inode_uid", "invalid_context", "ioctlcmd",
		"ip", "ipid", "ipx-net", "item", "items", "iuid", "kernel", "key", "kind", "ksize", "laddr", "len", "list", "lport", "mac", "macproto", "maj", "major",
		"minor", "mode", "model", "msg", "name", "nametype", "nargs", "net", "new", "new-chardev", "new-disk", "new-enabled", "new-fs", "new-level",
		"new-log_passwd", "new-mem", "new-net", "new-range", "new-rng", "new-role", "new-seuser", "new-vcpu", "new_gid", "new_lock", "new_pe", "new_pi",
		"new_pp", "nlnk-fam", "nlnk-grp", "nlnk-pid", "oauid", "obj", "obj_gid", "obj_uid", "ocomm", "oflag", "ogid", "old", "old-auid", "old-ses",
		"old_enforcing", "old_lock", "old_pa", "old_pe", "old_pi", "old_pp", "old_prom", "op", "opid", "oses", "ouid", "outif", "pa", "parent", "path", "pe",
		"per", "perm", "perm_mask", "permissive", "pfs", "pi", "pid", "pp", "ppid", "printer", "prom", "proto", "qbytes", "range", "rdev", "reason",
		"removed", "res", "resrc", "result", "role", "rport", "saddr", "sauid", "scontext", "selected-context", "seperm", "seperms", "seqno", "seresult",
		"ses", "seuser", "sgid", "sig", "sigev_signo", "smac", "spid", "sport", "state", "subj", "success", "suid", "syscall", "table", "tclass", "tcontext",
		"terminal", "tty", "type", "uid", "unit", "uri", "uuid", "val", "ver", "virt", "vm", "vm-ctx", "vm-pid", "watch",
	}
}
