package ndjson

import (
	"strconv"

	"github.com/ironpost/ironpost/sdk/event"
)

// AppendInventory appends what is known of a package as one line. A later line with
// the same id takes the place of an earlier one.
func AppendInventory(buf []byte, e *event.InventoryEvent) []byte {
	o := open(buf)
	o.string("kind", "inventory")
	o.string("id", e.ID)
	o.time("time", e.Time)
	o.string("target", e.Target)
	o.text("target_name", e.TargetName)
	o.text("image", e.Image)
	o.string("package", e.Name)
	o.string("version", e.Version)
	o.string("ecosystem", e.Ecosystem)
	o.string("purl", e.PURL)
	o.text("arch", e.Arch)
	o.text("state", e.State)
	o.strings("licenses", e.Licenses)
	o.strings("locations", e.Locations)
	o.truth("in_use", e.InUse)
	o.truth("removed", e.Removed)
	if len(e.Findings) > 0 {
		o.key("findings")
		o.buf = append(o.buf, '[')
		for i := range e.Findings {
			if i > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = appendFinding(o.buf, &e.Findings[i])
		}
		o.buf = append(o.buf, ']')
	}
	o.number("omitted", uint64(e.Omitted))
	return append(o.close(), '\n')
}

func appendFinding(buf []byte, f *event.Finding) []byte {
	o := open(buf)
	o.string("id", f.ID)
	o.strings("aliases", f.Aliases)
	o.string("severity", f.Severity.String())
	o.float("score", f.Score)
	o.text("fixed", f.Fixed)
	o.truth("kev", f.KEV)
	o.float("epss", f.EPSS)
	o.text("status", f.Status)
	return o.close()
}

func (o *object) truth(name string, value bool) {
	o.key(name)
	o.buf = strconv.AppendBool(o.buf, value)
}

// float leaves out 0; the value is finite.
func (o *object) float(name string, value float64) {
	if value != 0 {
		o.key(name)
		o.buf = strconv.AppendFloat(o.buf, value, 'g', -1, 64)
	}
}
