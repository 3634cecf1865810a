package ocsf

import (
	"net/netip"

	"github.com/ironpost/ironpost/host/internal/export"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func isolate() named { return named{1, "Isolate"} }
func evict() named   { return named{2, "Evict"} }
func restore() named { return named{3, "Restore"} }

// activityOf returns what an action does, false for one that changes nothing on anybody.
func activityOf(a *pb.ActionEvent) (named, bool) {
	var activity named
	switch a.GetAction() {
	case "block", "limit", "rule", "net-isolate", "pause":
		activity = isolate()
	case "stop", "kill":
		activity = evict()
	default:
		return named{}, false
	}
	if o := a.GetOutcome(); o == pb.Outcome_OUTCOME_RELEASED || o == pb.Outcome_OUTCOME_EXPIRED {
		activity = restore()
	}
	return activity, true
}

// Remediates reports whether an action is a Remediation Activity. Those that tell, watch
// or record something are not, nor is what allows traffic.
func Remediates(a *pb.ActionEvent) bool {
	_, ok := activityOf(a)
	return ok
}

// statusOf returns how an action ended.
func statusOf(o pb.Outcome) named {
	switch o {
	case pb.Outcome_OUTCOME_APPLIED, pb.Outcome_OUTCOME_RELEASED, pb.Outcome_OUTCOME_EXPIRED:
		return named{1, "Success"}
	case pb.Outcome_OUTCOME_REFUSED:
		return named{2, "Failure"}
	case pb.Outcome_OUTCOME_PARTIAL:
		return named{4, "Partial"}
	case pb.Outcome_OUTCOME_FAILED:
		return named{6, "Error"}
	case pb.Outcome_OUTCOME_PLANNED, pb.Outcome_OUTCOME_SIMULATED:
		return named{99, view.OutcomeName(o)}
	}
	return named{0, "Unknown"}
}

// AppendAction appends an action for which Remediates holds as a Remediation Activity, one
// JSON object without a line feed.
func (e *Encoder) AppendAction(dst []byte, a *pb.ActionEvent) []byte {
	activity, _ := activityOf(a)
	w := view.NewWriter(dst)
	w.Open("")
	e.begin(w, class{7001, "Remediation Activity", 7, "Remediation"}, activity, named{1, "Informational"}, statusOf(a.GetOutcome()), a.GetTime())
	w.Text("status_code", view.OutcomeName(a.GetOutcome()))
	w.Text("status_detail", a.GetReason())
	w.Text("message", a.GetAction()+" "+a.GetTarget())
	w.Text("command_uid", or(a.GetId(), "unknown"))
	w.OpenList("countermeasures")
	w.Open("")
	w.Open("d3f_tactic")
	w.Text("uid", "d3f:"+activity.name)
	w.Text("name", activity.name)
	w.Close()
	w.Close()
	w.CloseList()
	e.metadata(w, a.GetId()+"/"+view.OutcomeName(a.GetOutcome()), a.GetTraceId(), func() {
		w.Text("log_provider", a.GetEnforcer())
		w.Int("logged_time", millis(a.GetTime()))
		if e.hostID != "" {
			w.Texts("profiles", []string{"host"})
		}
	})
	e.device(w, "", true)
	w.OpenList("observables")
	target(w, a.GetTarget())
	w.CloseList()
	w.Open("unmapped")
	w.Text("alert_id", a.GetAlertId())
	w.Text("action", a.GetAction())
	w.Text("target", a.GetTarget())
	w.Text("outcome", view.OutcomeName(a.GetOutcome()))
	w.Text("mode", a.GetMode())
	w.Text("enforcer", a.GetEnforcer())
	w.Time("expires", a.GetExpires())
	w.Fields("details", a.GetDetails())
	w.Close()
	w.Close()
	return w.Bytes()
}

// target writes what an action is about as an observable: an address, a network, or the id
// of a container.
func target(w *view.Writer, text string) {
	if a, err := netip.ParseAddr(text); err == nil {
		observable(w, "unmapped.target", ipAddress(), a.String())
		return
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.IsSingleIP() {
			observable(w, "unmapped.target", ipAddress(), p.Addr().String())
			return
		}
		observable(w, "unmapped.target", subnet(), p.String())
		return
	}
	observable(w, "unmapped.target", resourceUID(), export.Cut(text, maxDesc))
}
