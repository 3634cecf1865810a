package catalog

import (
	"fmt"
	"strings"
)

// Code is the stable name of a reason why a plugin does not run.
type Code string

// The codes. [Table] has the rule behind each.
const (
	WrongOwner     Code = "IP101"
	WritableFile   Code = "IP102"
	WrongPathOwner Code = "IP103"
	WritablePath   Code = "IP104"
	SetID          Code = "IP105"
	SymbolicLink   Code = "IP106"
	NotExecutable  Code = "IP107"
	BadFileName    Code = "IP108"
	TooLarge       Code = "IP109"
	Unreadable     Code = "IP110"
	TooMany        Code = "IP111"
	NotRegular     Code = "IP112"
	NotAPlugin     Code = "IP120"
	APINotServed   Code = "IP121"
	NotDescribed   Code = "IP122"
	BadDescription Code = "IP123"
	ChangedBytes   Code = "IP130"
	NameTaken      Code = "IP131"
	KeepsFailing   Code = "IP132"
	Unsigned       Code = "IP133"
	BadSignature   Code = "IP134"
	NoExec         Code = "IP140"
)

// Rule is one line of the code table.
type Rule struct {
	Code Code
	// Rule is what has to hold.
	Rule string
	// Why says what the rule prevents.
	Why string
	// Mend is the general form of the command that mends it; a [Refusal] has the exact one.
	Mend string
}

// Table returns every code with its rule, in order.
func Table() []Rule {
	return []Rule{
		{WrongOwner, "a plugin belongs to root, to the host's user or to the owner of the host's executable", "another user could replace it at any time", "chown root FILE"},
		{WritableFile, "a plugin is not writable by group or others", "another user could change it at any time", "chmod go-w FILE"},
		{WrongPathOwner, "directories and links on a plugin's path belong to root, to the host's user or to the owner of the host's executable", "their owner could put another file in its place", "chown root DIRECTORY"},
		{WritablePath, "directories on a plugin's path are not writable by group or others, unless they are root's and sticky, or on the host executable's own path", "another user could put another file in its place", "chmod go-w DIRECTORY"},
		{SetID, "a plugin is not setuid or setgid", "it would gain privileges when others run it", "chmod ug-s FILE"},
		{SymbolicLink, "a plugin is a file, not a symbolic link", "what it points to is not held to these rules", "cp --remove-destination TARGET FILE"},
		{NotExecutable, "a built or enabled plugin is executable", "it is expected to run", "chmod 0755 FILE"},
		{BadFileName, "a file name is printable UTF-8 of at most 128 bytes", "it is shown in terminals and logs", "mv FILE NEWNAME"},
		{TooLarge, "a plugin is at most 512 MiB", "it is copied and hashed", "strip FILE"},
		{Unreadable, "the host can read the plugin and every directory on its path", "it has to be hashed", "chmod a+r FILE"},
		{TooMany, "the plugin directories hold at most 256 executables", "each is hashed and described at start", "mv FILE elsewhere"},
		{NotRegular, "a plugin is a regular file", "anything else has no bytes to hash", "mv FILE FILE.old"},
		{NotAPlugin, "a plugin answers the host's handshake", "the host can only run what speaks its protocol", "rm FILE"},
		{APINotServed, "a plugin speaks the host's API version or the one before", "older and newer ones would misunderstand the host", "ironpost plugin install --replace NEWFILE"},
		{NotDescribed, "a plugin describes itself within 5 s", "a hanging plugin would hold up the start", "ironpost plugin test FILE"},
		{BadDescription, "a description has a name, a version and at least one kind, within their limits", "the host has to route to it", "ironpost plugin describe FILE"},
		{ChangedBytes, "a plugin has the SHA-256 that was pinned when it was built or enabled", "other bytes were not approved", "ironpost plugin enable NAME"},
		{NameTaken, "a name belongs to the plugin that was enabled with it first", "another would take its place, its configuration and its grants", "rm FILE"},
		{KeepsFailing, "a plugin gets something done before it is started again and again", "restarting for ever helps nobody", "ironpost plugin reload NAME"},
		{Unsigned, "a plugin that was not built with the host is signed, when plugins.trusted_keys is set", "only what the holders of these keys approved is run", "minisign -S -m FILE"},
		{BadSignature, "a signature is of the plugin's own bytes, and by a key in plugins.trusted_keys", "anybody can sign with a key of their own", "minisign -S -m FILE"},
		{NoExec, "the data directory is on a file system that may execute programs", "plugins run from a copy that only the host can write", "mount -o remount,exec MOUNTPOINT"},
	}
}

// ruleOf returns the rule's text, or "".
func ruleOf(code Code) string {
	for _, r := range Table() {
		if r.Code == code {
			return r.Rule
		}
	}
	return ""
}

// Refusal says why a plugin does not run, in terms of the rule that it breaks. It is an error.
type Refusal struct {
	Code Code `json:"code"`
	// Rule is what has to hold.
	Rule string `json:"rule"`
	// Observed is what was found, with the path it was found at.
	Observed string `json:"observed"`
	// Wanted is what would have been right.
	Wanted string `json:"wanted"`
	// Mend is the command that mends it, ready to be typed into a shell.
	Mend string `json:"mend"`
}

// NewRefusal returns a refusal with the rule of code from the [Table].
func NewRefusal(code Code, observed, wanted, mend string) *Refusal {
	return &Refusal{Code: code, Rule: ruleOf(code), Observed: observed, Wanted: wanted, Mend: mend}
}

// Error is one line: code, observed, wanted and mend.
func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: %s; want %s; mend with: %s", r.Code, r.Observed, r.Wanted, r.Mend)
}

// Quote makes one word of a POSIX shell out of s. A word with control characters
// is written in $'...' form, so that it can be shown.
func Quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r))
	}) < 0
	if plain {
		return s
	}
	if strings.IndexFunc(s, unprintable) < 0 {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range []byte(s) {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
