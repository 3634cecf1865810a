package ecs

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/export"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Version is that of the schema.
const Version = "8.17.0"

const product = "Ironpost"

// Encoder writes documents. It keeps nothing of them and is safe for concurrent use.
type Encoder struct {
	hostID  string
	version string
	attack  *export.Attack
}

// NewEncoder returns an encoder for the events of a host, with the version of the product.
func NewEncoder(hostID, version string) *Encoder {
	return &Encoder{hostID: hostID, version: version, attack: export.NewAttack()}
}

// begin writes what every document has, up to the members of event.
func (e *Encoder) begin(w *view.Writer, time uint64, message string, tags []string, trace []byte) {
	w.Raw("@timestamp", func(dst []byte) []byte {
		if time == 0 {
			return append(dst, `"1970-01-01T00:00:00Z"`...) // the field is needed
		}
		return view.AppendTime(dst, int64(time))
	})
	w.Open("ecs")
	w.Text("version", Version)
	w.Close()
	w.Text("message", message)
	w.Texts("tags", tags)
	w.Open("observer")
	w.Text("vendor", product)
	w.Text("product", product)
	w.Text("type", "ids")
	w.Text("version", e.version)
	w.Close()
	w.Open("trace")
	w.Hex("id", trace)
	w.Close()
}

// AppendAlert appends an alert as one JSON object without a line feed.
func (e *Encoder) AppendAlert(dst []byte, a *pb.AlertEvent) []byte {
	w := view.NewWriter(dst)
	s := export.SubjectOf(a)
	w.Open("")
	e.begin(w, max(a.GetTime(), earliest(a)), a.GetTitle(), a.GetTags(), a.GetTraceId())
	e.event(w, a, &s)
	w.Open("rule")
	w.Text("id", a.GetRuleId())
	w.Text("name", a.GetTitle())
	w.Text("description", a.GetDescription())
	w.Text("ruleset", a.GetDetector())
	w.Close()
	e.threat(w, a.GetTags())
	e.subject(w, a, &s)
	own(w, a)
	w.Close()
	return w.Bytes()
}

// earliest stands in for the time of an alert that has none.
func earliest(a *pb.AlertEvent) uint64 {
	if a.GetTime() != 0 {
		return 0
	}
	return a.GetObservedTime()
}

// event writes the members of event.
func (e *Encoder) event(w *view.Writer, a *pb.AlertEvent, s *export.Subject) {
	first, last := export.Seen(a)
	category := "intrusion_detection"
	if s.Vulnerability != "" {
		category = "vulnerability"
	}
	w.Open("event")
	w.Text("kind", "alert")
	w.Texts("category", []string{category})
	w.Texts("type", []string{"info"})
	w.Text("id", a.GetId())
	w.Text("code", a.GetRuleId())
	w.Text("module", "ironpost")
	w.Text("dataset", "ironpost.alert")
	w.Text("provider", a.GetDetector())
	w.Int("severity", int64(a.GetSeverity()))
	w.Time("created", a.GetObservedTime())
	w.Time("start", first)
	w.Time("end", last)
	w.Text("reason", a.GetDescription())
	raw, _ := export.Raw(a)
	w.Text("original", raw)
	w.Close()
}

// threat writes tactics and techniques.
func (e *Encoder) threat(w *view.Writer, tags []string) {
	tactics, techniques := e.attack.Read(tags)
	if len(tactics)+len(techniques) == 0 {
		return
	}
	var tacticIDs, tacticNames, ids, subs []string
	for _, t := range tactics {
		tacticIDs, tacticNames = append(tacticIDs, t.ID), append(tacticNames, t.Name)
	}
	for _, t := range techniques {
		if !slices.Contains(ids, t.ID) {
			ids = append(ids, t.ID)
		}
		if t.Sub != "" {
			subs = append(subs, t.Sub)
		}
	}
	w.Open("threat")
	w.Text("framework", export.Framework)
	w.Open("tactic")
	w.Texts("id", tacticIDs)
	w.Texts("name", tacticNames)
	w.Close()
	w.Open("technique")
	w.Texts("id", ids)
	w.Open("subtechnique")
	w.Texts("id", subs)
	w.Close()
	w.Close()
	w.Close()
}

// subject writes what the alert is about.
func (e *Encoder) subject(w *view.Writer, a *pb.AlertEvent, s *export.Subject) {
	endpoint(w, "source", s.Source, 0)
	endpoint(w, "destination", s.Destination, s.DestinationPort)
	w.Open("user")
	w.Text("name", s.User)
	w.Close()
	w.Open("process")
	w.Text("name", s.Process)
	if s.PID != 0 {
		w.Int("pid", int64(s.PID))
	}
	w.Text("command_line", s.Command)
	w.Close()
	w.Open("container")
	w.Text("id", s.Container)
	w.Text("name", s.ContainerName)
	w.Open("image")
	w.Text("name", s.Image)
	w.Close()
	w.Close()
	w.Open("file")
	w.Text("path", s.Path)
	w.Close()
	w.Open("package")
	w.Text("name", s.Package)
	w.Text("version", s.PackageVersion)
	w.Close()
	if s.Vulnerability != "" {
		w.Open("vulnerability")
		w.Text("id", s.Vulnerability)
		if strings.HasPrefix(s.Vulnerability, "CVE-") {
			w.Text("enumeration", "CVE")
		}
		w.Close()
	}
	e.host(w, s.Host, export.Local(a))
	w.Open("related")
	var ips []string
	for _, ip := range []netip.Addr{s.Source, s.Destination} {
		if ip.IsValid() && !slices.Contains(ips, ip.String()) {
			ips = append(ips, ip.String())
		}
	}
	w.Texts("ip", ips)
	w.Texts("user", list(s.User))
	w.Texts("hosts", list(s.Host))
	w.Close()
}

// host writes the machine: this one, unless somebody told it over a network.
func (e *Encoder) host(w *view.Writer, name string, local bool) {
	w.Open("host")
	w.Text("name", name)
	w.Text("hostname", name)
	if local && e.hostID != "" {
		w.Text("id", e.hostID)
		w.Open("os")
		w.Text("type", "linux")
		w.Close()
	}
	w.Close()
}

func endpoint(w *view.Writer, name string, a netip.Addr, port uint16) {
	if !a.IsValid() {
		return
	}
	w.Open(name)
	w.Text("ip", a.String())
	w.Text("address", a.String())
	if port != 0 {
		w.Int("port", int64(port))
	}
	w.Close()
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// own writes what the schema has no field for.
func own(w *view.Writer, a *pb.AlertEvent) {
	w.Open("ironpost")
	w.Text("state", view.AlertState(a))
	w.Text("silenced_by", a.GetSilencedBy())
	w.Text("fingerprint", view.Fingerprint(a))
	w.Text("group", a.GetGroup())
	w.Text("evidence", view.EvidenceName(a.GetEvidence()))
	w.Text("provenance", view.ProvenanceName(a.GetProvenance()))
	w.Text("peer", a.GetPeer())
	w.Count("count", a.GetCount())
	w.Fields("entities", a.GetEntities())
	w.Fields("details", a.GetDetails())
	w.Close()
}
