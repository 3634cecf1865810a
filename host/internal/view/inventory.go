package view

import (
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// AppendInventory appends what is known of a package as one JSON object: kind
// ("inventory"), id, time, target, target_name, image, package, version, ecosystem,
// purl, arch, state, licenses, locations, in_use, removed, severity (the highest of
// its findings), findings and omitted. A finding has id, aliases, severity, score,
// fixed, kev, epss and status.
func AppendInventory(dst []byte, e *ironpostv1.InventoryEvent) []byte {
	dst = append(dst, `{"kind":"inventory"`...)
	dst = appendText(dst, "id", e.GetId())
	dst = append(dst, `,"time":`...)
	dst = AppendTime(dst, int64(e.GetTime()))
	dst = appendText(dst, "target", e.GetTarget())
	dst = appendText(dst, "target_name", e.GetTargetName())
	dst = appendText(dst, "image", e.GetImage())
	dst = appendText(dst, "package", e.GetName())
	dst = appendText(dst, "version", e.GetVersion())
	dst = appendText(dst, "ecosystem", e.GetEcosystem())
	dst = appendText(dst, "purl", e.GetPurl())
	dst = appendText(dst, "arch", e.GetArch())
	dst = appendText(dst, "state", e.GetState())
	dst = appendTexts(dst, "licenses", e.GetLicenses())
	dst = appendTexts(dst, "locations", e.GetLocations())
	dst = appendTruth(dst, "in_use", e.GetInUse())
	dst = appendTruth(dst, "removed", e.GetRemoved())
	dst = appendText(dst, "severity", InventorySeverity(e).String())
	dst = append(dst, `,"findings":[`...)
	for i, f := range e.GetFindings() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"id":`...)
		dst = AppendString(dst, f.GetId())
		dst = appendTexts(dst, "aliases", f.GetAliases())
		dst = appendText(dst, "severity", event.Severity(small(f.GetSeverity())).String())
		dst = append(dst, `,"score":`...)
		dst = appendFloat(dst, f.GetScore())
		dst = appendText(dst, "fixed", f.GetFixed())
		dst = appendTruth(dst, "kev", f.GetKev())
		dst = append(dst, `,"epss":`...)
		dst = appendFloat(dst, f.GetEpss())
		dst = appendText(dst, "status", f.GetStatus())
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	dst = appendNumber(dst, "omitted", uint64(e.GetOmitted()))
	return append(dst, '}')
}

// InventorySeverity returns the highest severity of a package's findings.
func InventorySeverity(e *ironpostv1.InventoryEvent) event.Severity {
	most := event.SeverityUnknown
	for _, f := range e.GetFindings() {
		if s := event.Severity(small(f.GetSeverity())); s <= event.SeverityCritical {
			most = max(most, s)
		}
	}
	return most
}

// appendTexts appends a member that is a list; name must need no escape.
func appendTexts(dst []byte, name string, texts []string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, `":[`...)
	for i, t := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, t)
	}
	return append(dst, ']')
}

func appendTruth(dst []byte, name string, value bool) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	if value {
		return append(dst, `":true`...)
	}
	return append(dst, `":false`...)
}
