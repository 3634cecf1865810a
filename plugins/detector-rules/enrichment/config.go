package enrichment

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// Config names the files and bounds what is read of them. Every path is whole and is
// a file, a folder, of which the files with the suffixes of their kind are read, or
// a pattern with *, ? and [.
type Config struct {
	// Databases are files in MaxMind's format (.mmdb).
	Databases []string `config:"geo_databases" help:"databases in MaxMind's format (.mmdb): files, folders or patterns"`
	// IPLists (.netset .ipset .txt .json .list) and DomainLists (.txt .list .hosts
	// .domains) have the name of their file, without its suffix.
	IPLists     []string `config:"ip_lists" help:"lists of addresses and networks, as FireHOL and Spamhaus write them: files, folders or patterns"`
	DomainLists []string `config:"domain_lists" help:"lists of names of hosts: files, folders or patterns"`
	// Tables are .csv, .yaml and .yml.
	Tables []string `config:"lookup_tables" help:"tables from a field to further ones (.csv, .yaml): files, folders or patterns"`
	// Placeholders are NAME.txt, .yaml and .yml.
	Placeholders []string `config:"placeholders" help:"values for %name% in values with expand (NAME.txt, .yaml): files, folders or patterns"`

	// The fields of log events and entities of alerts that hold addresses and names. The first
	// that is an address counts; names are all looked up.
	SourceFields      []string `config:"source_fields" help:"fields with the address that something came from"`
	DestinationFields []string `config:"destination_fields" help:"fields with the address that something went to"`
	DomainFields      []string `config:"domain_fields" help:"fields with names of hosts"`

	// Interval is how often the files are looked at.
	Interval time.Duration `config:"reload_interval" help:"how often lists, tables, placeholders and databases are looked at for changes" min:"1s" max:"24h"`
	// MaxFile is the size of a file, MaxMemory what everything that is in force takes.
	// While a file is exchanged its new version and its bytes are there too.
	MaxFile   sdk.Size `config:"max_list_file" help:"size of a list, table or database" min:"4096" max:"1073741824"`
	MaxMemory sdk.Size `config:"max_list_memory" help:"memory of all lists, tables and databases" min:"1048576" max:"4294967296"`
}

// The bounds that are no settings. Lists are bounded in iplist and domainlist, rows
// in table.
const (
	// MaxFiles is how many files are read in all.
	MaxFiles = 512
	// MaxDatabases and MaxTables are asked one after the other.
	MaxDatabases = 8
	MaxTables    = 32
	// MaxFields is how many fields SourceFields and its like name.
	MaxFields = 32
)

// Defaults returns a Config that reads nothing yet.
func Defaults() Config {
	return Config{
		SourceFields:      []string{"src_ip", "source.ip", "client.ip", "SourceIp", "IpAddress"},
		DestinationFields: []string{"dst_ip", "destination.ip", "server.ip", "DestinationIp"},
		DomainFields:      []string{"dns.question.name", "destination.domain", "url.domain", "QueryName", "DestinationHostname"},
		Interval:          5 * time.Second,
		MaxFile:           128 << 20,
		MaxMemory:         256 << 20,
	}
}

// Names reports whether any file is named: else there is nothing to look up or to
// look after.
func (c *Config) Names() bool {
	return len(c.Databases)+len(c.IPLists)+len(c.DomainLists)+len(c.Tables)+len(c.Placeholders) > 0
}

// Validate returns an error that names the first setting that is wrong, and what is
// allowed.
func (c *Config) Validate() error {
	for _, l := range []struct {
		key   string
		paths []string
	}{
		{"geo_databases", c.Databases},
		{"ip_lists", c.IPLists},
		{"domain_lists", c.DomainLists},
		{"lookup_tables", c.Tables},
		{"placeholders", c.Placeholders},
	} {
		for _, p := range l.paths {
			if !filepath.IsAbs(p) {
				return fmt.Errorf("%s: %q is no whole path; write it from the root, as /etc/ironpost/%s", l.key, p, l.key)
			}
			if _, err := filepath.Match(p, ""); err != nil {
				return fmt.Errorf("%s: the pattern %q is wrong: %w; close its bracket", l.key, p, err)
			}
		}
	}
	seen := map[string]string{}
	for _, l := range []struct {
		key    string
		fields []string
	}{
		{"source_fields", c.SourceFields},
		{"destination_fields", c.DestinationFields},
		{"domain_fields", c.DomainFields},
	} {
		if len(l.fields) > MaxFields {
			return fmt.Errorf("%s: %d fields; at most %d are looked at", l.key, len(l.fields), MaxFields)
		}
		for _, f := range l.fields {
			if strings.TrimSpace(f) == "" {
				return fmt.Errorf("%s: a field has no name; take it out", l.key)
			}
			if before, twice := seen[f]; twice {
				return fmt.Errorf("%s: %q is in %s already; a field is one of them", l.key, f, before)
			}
			seen[f] = l.key
		}
	}
	switch {
	case c.Interval < time.Second || c.Interval > 24*time.Hour:
		return fmt.Errorf("reload_interval: %s; write 1s to 24h", c.Interval)
	case c.MaxFile < 4<<10 || c.MaxFile > 1<<30:
		return fmt.Errorf("max_list_file: %d; write 4KiB to 1GiB", c.MaxFile)
	case c.MaxMemory < 1<<20 || c.MaxMemory > 4<<30:
		return fmt.Errorf("max_list_memory: %d; write 1MiB to 4GiB", c.MaxMemory)
	}
	return nil
}

// kind is what a file is for.
type kind uint8

const (
	database kind = iota
	ipList
	domainList
	lookupTable
	placeholders
)

// kinds are the suffixes of the files of a folder, and words for people.
var kinds = [...]struct {
	word     string
	suffixes []string
}{
	database:     {"database", []string{".mmdb"}},
	ipList:       {"IP list", []string{".netset", ".ipset", ".txt", ".json", ".list"}},
	domainList:   {"domain list", []string{".txt", ".list", ".hosts", ".domains"}},
	lookupTable:  {"table", []string{".csv", ".yaml", ".yml"}},
	placeholders: {"placeholders", []string{".txt", ".yaml", ".yml"}},
}

// paths returns the paths of a kind.
func (c *Config) paths(k kind) []string {
	return [...][]string{c.Databases, c.IPLists, c.DomainLists, c.Tables, c.Placeholders}[k]
}

// reads reports whether a file of a folder is of the kind.
func (k kind) reads(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains(kinds[k].suffixes, strings.ToLower(filepath.Ext(name)))
}
