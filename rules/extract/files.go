// Package extract holds the patterns that parsers find fields in messages by.
// They are built into the parsers; files that an operator puts beside these
// replace those of the same name or come on top.
package extract

import "embed"

// Files are the YAML files of this folder.
//
//go:embed *.yaml
var Files embed.FS
