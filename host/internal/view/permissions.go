package view

import (
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// PermissionList is one of the lists in the permissions of a plugin.
type PermissionList struct {
	// Name is the word before each of its values: "read".
	Name string
	// Values belongs to the message.
	Values *[]string
}

// PermissionLists returns the lists of a message, always the same ones in the
// same order. A nil message has empty lists.
func PermissionLists(p *ironpostv1.Permissions) []PermissionList {
	if p == nil {
		p = new(ironpostv1.Permissions)
	}
	return []PermissionList{
		{"listen", &p.Listen},
		{"connect", &p.Connect},
		{"read", &p.Read},
		{"write", &p.Write},
		{"command", &p.Commands},
		{"docker", &p.Docker},
		{"service", &p.Services},
	}
}

// PermissionFlag is one of the permissions that a plugin has or has not.
type PermissionFlag struct {
	// Name is what a person reads: "new processes".
	Name string
	// Set belongs to the message.
	Set *bool
}

// PermissionFlags returns the flags of a message like PermissionLists its lists.
func PermissionFlags(p *ironpostv1.Permissions) []PermissionFlag {
	if p == nil {
		p = new(ironpostv1.Permissions)
	}
	return []PermissionFlag{{"base files", &p.BaseFiles}, {"new processes", &p.Processes}}
}

// Permissions writes permissions for a person, one by one: "read /var/log". What
// the plugin wrote in them is not made printable.
func Permissions(p *ironpostv1.Permissions) []string {
	var out []string
	for _, l := range PermissionLists(p) {
		for _, v := range *l.Values {
			out = append(out, l.Name+" "+v)
		}
	}
	for _, f := range PermissionFlags(p) {
		if *f.Set {
			out = append(out, f.Name)
		}
	}
	return out
}
