// Package winevent shows the nested JSON of Windows events to Sigma rules: its
// fields, as internal/winevent reads them, and its log sources, as the mappings say
// that are shipped. It may be several: a registry event is registry_event and
// registry_set.
package winevent
