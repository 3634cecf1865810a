package ocsf

import (
	"strings"

	"github.com/ironpost/ironpost/host/internal/export"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Version is that of the schema.
const Version = "1.8.0"

// vendor is the name of the product and of who makes it.
const vendor = "Ironpost"

// Encoder writes events. It keeps nothing of them and is safe for concurrent use.
type Encoder struct {
	hostID  string
	version string
	attack  *export.Attack
}

// NewEncoder returns an encoder for the events of a host, with the version of the product.
func NewEncoder(hostID, version string) *Encoder {
	return &Encoder{hostID: hostID, version: version, attack: export.NewAttack()}
}

// class is what is the same in every event of a class.
type class struct {
	uid          int64
	name         string
	category     int64
	categoryName string
}

// named is a value of an enumeration with its caption.
type named struct {
	id   int64
	name string
}

// begin writes what every event has.
func (e *Encoder) begin(w *view.Writer, c class, activity, severity, status named, time uint64) {
	w.Int("activity_id", activity.id)
	w.Text("activity_name", activity.name)
	w.Int("category_uid", c.category)
	w.Text("category_name", c.categoryName)
	w.Int("class_uid", c.uid)
	w.Text("class_name", c.name)
	w.Int("type_uid", c.uid*100+activity.id)
	w.Text("type_name", c.name+": "+activity.name)
	w.Int("severity_id", severity.id)
	w.Text("severity", severity.name)
	w.Int("status_id", status.id)
	w.Text("status", status.name)
	w.Int("time", millis(time))
}

// metadata writes about the event itself; more adds to it.
func (e *Encoder) metadata(w *view.Writer, uid string, trace []byte, more func()) {
	w.Open("metadata")
	w.Text("version", Version)
	w.Open("product")
	w.Text("name", vendor)
	w.Text("vendor_name", vendor)
	w.Text("version", e.version)
	w.Close()
	w.Text("uid", uid)
	w.Hex("correlation_uid", trace)
	w.Open("reporter")
	w.Text("uid", e.hostID)
	w.Close()
	more()
	w.Close()
}

// device writes the machine that an event happened on: this one, unless somebody told it
// over a network.
func (e *Encoder) device(w *view.Writer, hostname string, local bool) {
	if hostname == "" && (!local || e.hostID == "") {
		return
	}
	w.Open("device")
	w.Text("hostname", hostname)
	w.Int("type_id", 0)
	w.Text("type", "Unknown")
	if local {
		w.Text("uid", e.hostID)
		w.Open("os")
		w.Text("name", "Linux")
		w.Int("type_id", 200)
		w.Text("type", "Linux")
		w.Close()
	}
	w.Close()
}

func severityOf(s pb.Severity) named {
	switch s {
	case pb.Severity_SEVERITY_INFORMATIONAL:
		return named{1, "Informational"}
	case pb.Severity_SEVERITY_LOW:
		return named{2, "Low"}
	case pb.Severity_SEVERITY_MEDIUM:
		return named{3, "Medium"}
	case pb.Severity_SEVERITY_HIGH:
		return named{4, "High"}
	case pb.Severity_SEVERITY_CRITICAL:
		return named{5, "Critical"}
	}
	return named{0, "Unknown"}
}

// The types of observables.
func hostname() named    { return named{1, "Hostname"} }
func ipAddress() named   { return named{2, "IP Address"} }
func userName() named    { return named{4, "User Name"} }
func processName() named { return named{9, "Process Name"} }
func resourceUID() named { return named{10, "Resource UID"} }
func subnet() named      { return named{12, "Subnet"} }
func commandLine() named { return named{13, "Command Line"} }
func cveUID() named      { return named{18, "CVE Object: uid"} }
func filePath() named    { return named{45, "File Path"} }

// observable writes an element of the list of observables; name is where in the event the
// value stands.
func observable(w *view.Writer, name string, kind named, value string) {
	if value == "" {
		return
	}
	w.Open("")
	w.Text("name", name)
	w.Int("type_id", kind.id)
	w.Text("type", kind.name)
	w.Text("value", value)
	w.Close()
}

// millis are the milliseconds of nanoseconds since 1970.
func millis(ns uint64) int64 { return int64(ns) / 1e6 }

func isCVE(id string) bool { return strings.HasPrefix(id, "CVE-") }
