package ocsf

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/export"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxDesc bounds the description of a related event, in bytes.
const maxDesc = 256

// AppendAlert appends an alert as a Detection Finding, one JSON object without a line
// feed.
func (e *Encoder) AppendAlert(dst []byte, a *pb.AlertEvent) []byte {
	w := view.NewWriter(dst)
	s := export.SubjectOf(a)
	first, last := export.Seen(a)
	w.Open("")
	activity, status := lifeOf(a)
	e.begin(w, class{2004, "Detection Finding", 2, "Findings"}, activity, severityOf(a.GetSeverity()), status, or(a.GetTime(), a.GetObservedTime()))
	if id := a.GetSilencedBy(); id != "" {
		w.Text("status_detail", "Held back by the silence "+id+".")
	}
	w.Text("message", a.GetTitle())
	w.Bool("is_alert", activity.id != 3)
	if a.GetCount() > 0 {
		w.Count("count", a.GetCount())
	}
	w.Int("start_time", millis(first))
	w.Int("end_time", millis(last))
	e.metadata(w, a.GetId(), a.GetTraceId(), func() {
		w.Text("event_code", a.GetRuleId())
		w.Text("log_provider", a.GetDetector())
		w.Int("logged_time", millis(or(a.GetObservedTime(), a.GetTime())))
		w.Texts("labels", a.GetTags())
	})
	e.finding(w, a, first, last)
	e.evidences(w, a, &s)
	e.device(w, s.Host, export.Local(a))
	resources(w, &s)
	vulnerabilities(w, a, &s)
	observables(w, &s)
	enriched := enrichments(w, a)
	if text, size := export.Raw(a); text != "" {
		w.Text("raw_data", text)
		w.Int("raw_data_size", int64(size))
	}
	unmapped(w, a, enriched)
	w.Close()
	return w.Bytes()
}

// lifeOf returns what an alert's state is as activity and as status.
func lifeOf(a *pb.AlertEvent) (activity, status named) {
	switch view.AlertState(a) {
	case "acknowledged":
		return named{2, "Update"}, named{2, "In Progress"}
	case "closed":
		return named{3, "Close"}, named{4, "Resolved"}
	}
	if a.GetSilencedBy() != "" {
		return named{1, "Create"}, named{3, "Suppressed"}
	}
	return named{1, "Create"}, named{1, "New"}
}

// finding writes finding_info.
func (e *Encoder) finding(w *view.Writer, a *pb.AlertEvent, first, last uint64) {
	w.Open("finding_info")
	w.Text("uid", or(a.GetId(), "unknown"))
	w.Text("uid_alt", view.Fingerprint(a))
	w.Text("title", a.GetTitle())
	w.Text("desc", a.GetDescription())
	w.Int("created_time", millis(or(a.GetObservedTime(), a.GetTime())))
	w.Int("first_seen_time", millis(first))
	w.Int("last_seen_time", millis(last))
	w.Texts("types", typesOf(a))
	w.Texts("data_sources", sourcesOf(a))
	w.Open("analytic")
	w.Int("type_id", 1)
	w.Text("type", "Rule")
	w.Text("uid", or(a.GetRuleId(), "unknown"))
	w.Text("name", a.GetTitle())
	w.Text("category", a.GetDetector())
	w.Close()
	e.attacks(w, a.GetTags())
	w.OpenList("related_events")
	for _, l := range a.GetLogs() {
		related(w, l.GetId(), "log", l.GetTime(), l.GetMessage())
	}
	for _, p := range a.GetPackets() {
		related(w, p.GetId(), "packet", p.GetTime(), "")
	}
	w.CloseList()
	if n := len(a.GetCauses()); n > 0 {
		w.Int("related_events_count", int64(n))
	}
	w.Close()
}

func related(w *view.Writer, id *pb.EventID, kind string, time uint64, desc string) {
	w.Open("")
	w.Text("uid", eventID(id))
	w.Text("type", kind)
	w.Int("first_seen_time", millis(time))
	w.Text("desc", export.Cut(desc, maxDesc))
	w.Close()
}

func eventID(id *pb.EventID) string {
	return event.ID{Stream: id.GetStream(), Sequence: id.GetSequence()}.String()
}

// typesOf says what kind of events a finding is made of.
func typesOf(a *pb.AlertEvent) (types []string) {
	if export.Value(a.GetEntities(), "vulnerability") != "" {
		types = append(types, "vulnerability")
	}
	if len(a.GetLogs()) > 0 {
		types = append(types, "log")
	}
	if len(a.GetPackets()) > 0 {
		types = append(types, "network")
	}
	return types
}

// sourcesOf are the programs and interfaces that the cited events come from.
func sourcesOf(a *pb.AlertEvent) (sources []string) {
	note := func(name string) {
		if name != "" && !slices.Contains(sources, name) {
			sources = append(sources, name)
		}
	}
	for _, l := range a.GetLogs() {
		note(l.GetProcess())
	}
	for _, p := range a.GetPackets() {
		note(p.GetInterface())
	}
	return sources
}

// attacks writes the techniques, and the tactics by themselves: which belongs to which the
// tags do not say.
func (e *Encoder) attacks(w *view.Writer, tags []string) {
	tactics, techniques := e.attack.Read(tags)
	w.OpenList("attacks")
	for _, t := range techniques {
		w.Open("")
		w.Open("technique")
		w.Text("uid", t.ID)
		w.Close()
		w.Open("sub_technique")
		w.Text("uid", t.Sub)
		w.Close()
		w.Close()
	}
	for _, t := range tactics {
		w.Open("")
		w.Open("tactic")
		w.Text("uid", t.ID)
		w.Text("name", t.Name)
		w.Close()
		w.Close()
	}
	w.CloseList()
}

// evidences writes what the alert names, then each event that it cites.
func (e *Encoder) evidences(w *view.Writer, a *pb.AlertEvent, s *export.Subject) {
	w.OpenList("evidences")
	if s.Source.IsValid() || s.Destination.IsValid() || s.User != "" || s.PID != 0 {
		w.Open("")
		w.Text("name", "entities")
		endpoint(w, "src_endpoint", s.Source, 0)
		endpoint(w, "dst_endpoint", s.Destination, s.DestinationPort)
		w.Open("user")
		w.Text("name", s.User)
		w.Close()
		process(w, s.PID, s.Process, s.Command)
		w.Open("container")
		container(w, s)
		w.Close()
		w.Close()
	}
	cited := view.Context{HostID: e.hostID}
	for _, l := range a.GetLogs() {
		w.Open("")
		w.Text("name", "log")
		w.Text("uid", eventID(l.GetId()))
		process(w, l.GetPid(), l.GetProcess(), "")
		w.Raw("data", func(dst []byte) []byte { return view.AppendLog(dst, &cited, l) })
		w.Close()
	}
	for _, p := range a.GetPackets() {
		w.Open("")
		w.Text("name", "packet")
		w.Text("uid", eventID(p.GetId()))
		source, _ := netip.AddrFromSlice(p.GetSource())
		destination, _ := netip.AddrFromSlice(p.GetDestination())
		endpoint(w, "src_endpoint", source.Unmap(), 0)
		endpoint(w, "dst_endpoint", destination.Unmap(), uint16(min(p.GetDestinationPort(), 65535)))
		w.Raw("data", func(dst []byte) []byte { return view.AppendPacket(dst, &cited, p) })
		w.Close()
	}
	w.CloseList()
}

func endpoint(w *view.Writer, name string, a netip.Addr, port uint16) {
	if !a.IsValid() {
		return
	}
	w.Open(name)
	w.Text("ip", a.String())
	if port != 0 {
		w.Int("port", int64(port))
	}
	w.Close()
}

// process writes a process, which needs its number.
func process(w *view.Writer, pid uint32, name, command string) {
	if pid == 0 {
		return
	}
	w.Open("process")
	w.Int("pid", int64(pid))
	w.Text("name", name)
	w.Text("cmd_line", command)
	w.Close()
}

func container(w *view.Writer, s *export.Subject) {
	w.Text("uid", s.Container)
	w.Text("name", s.ContainerName)
}

// resources writes the container and the package that are affected.
func resources(w *view.Writer, s *export.Subject) {
	w.OpenList("resources")
	if s.Container != "" || s.ContainerName != "" {
		w.Open("")
		w.Text("type", "container")
		container(w, s)
		w.Close()
	}
	if s.Image != "" {
		w.Open("")
		w.Text("type", "image")
		w.Text("name", s.Image)
		w.Close()
	}
	if s.Package != "" {
		w.Open("")
		w.Text("type", "package")
		w.Text("name", s.Package)
		w.Text("uid", s.PURL)
		w.Text("version", s.PackageVersion)
		w.Close()
	}
	w.CloseList()
}

// vulnerabilities writes the one that an alert names.
func vulnerabilities(w *view.Writer, a *pb.AlertEvent, s *export.Subject) {
	if s.Vulnerability == "" {
		return
	}
	w.OpenList("vulnerabilities")
	w.Open("")
	if isCVE(s.Vulnerability) {
		w.Open("cve")
	} else {
		w.Open("advisory")
	}
	w.Text("uid", s.Vulnerability)
	w.Close()
	w.Text("severity", severityOf(a.GetSeverity()).name)
	w.Bool("is_fix_available", s.Fixed != "")
	w.OpenList("affected_packages")
	if s.Package != "" && s.PackageVersion != "" {
		w.Open("")
		w.Text("name", s.Package)
		w.Text("version", s.PackageVersion)
		w.Text("purl", s.PURL)
		w.Text("fixed_in_version", s.Fixed)
		w.Text("path", s.Path)
		w.Close()
	}
	w.CloseList()
	w.Close()
	w.CloseList()
}

// observables writes what analysts look for in other events.
func observables(w *view.Writer, s *export.Subject) {
	w.OpenList("observables")
	if s.Source.IsValid() {
		observable(w, "evidences.src_endpoint.ip", ipAddress(), s.Source.String())
	}
	if s.Destination.IsValid() {
		observable(w, "evidences.dst_endpoint.ip", ipAddress(), s.Destination.String())
	}
	observable(w, "device.hostname", hostname(), s.Host)
	observable(w, "evidences.user.name", userName(), s.User)
	observable(w, "evidences.process.name", processName(), s.Process)
	observable(w, "evidences.process.cmd_line", commandLine(), s.Command)
	observable(w, "resources.uid", resourceUID(), s.Container)
	if isCVE(s.Vulnerability) {
		observable(w, "vulnerabilities.cve.uid", cveUID(), s.Vulnerability)
	}
	observable(w, "vulnerabilities.affected_packages.path", filePath(), s.Path)
	w.CloseList()
}

// role is a part of an alert that the host looked up, and where its value stands.
type role struct{ prefix, entity, name string }

// enrichments writes what the host found out about who is behind the entities. It returns
// the details that are in it.
func enrichments(w *view.Writer, a *pb.AlertEvent) (done []*pb.Field) {
	w.OpenList("enrichments")
	for _, r := range []role{{"src_", "src_ip", "evidences.src_endpoint.ip"}, {"dst_", "dst_ip", "evidences.dst_endpoint.ip"}, {"log_", "process", "evidences.process.name"}} {
		value := export.Value(a.GetEntities(), r.entity)
		var found []*pb.Field
		for _, d := range a.GetDetails() {
			if strings.HasPrefix(d.GetKey(), r.prefix) {
				found = append(found, d)
			}
		}
		if value == "" || len(found) == 0 {
			continue
		}
		done = append(done, found...)
		w.Open("")
		w.Text("name", r.name)
		w.Text("value", value)
		w.Text("provider", vendor)
		w.Text("type", "attribution")
		w.Fields("data", found)
		w.Close()
	}
	w.CloseList()
	return done
}

// unmapped writes what the schema has no place for; enriched are the details that have
// one.
func unmapped(w *view.Writer, a *pb.AlertEvent, enriched []*pb.Field) {
	w.Open("unmapped")
	w.Text("state", view.AlertState(a))
	w.Text("silenced_by", a.GetSilencedBy())
	w.Text("group", a.GetGroup())
	w.Text("evidence", view.EvidenceName(a.GetEvidence()))
	w.Text("provenance", view.ProvenanceName(a.GetProvenance()))
	w.Text("peer", a.GetPeer())
	w.Int("hops", int64(a.GetHops()))
	w.Fields("entities", a.GetEntities())
	w.Fields("details", slices.DeleteFunc(slices.Clone(a.GetDetails()), func(f *pb.Field) bool { return slices.Contains(enriched, f) }))
	w.Close()
}

// or returns the first of both that is not the zero value.
func or[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}
