package ecs

import (
	"net/netip"

	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// kindOf returns the category and the type of an action.
func kindOf(a *pb.ActionEvent) (category, kind string) {
	over := a.GetOutcome() == pb.Outcome_OUTCOME_RELEASED || a.GetOutcome() == pb.Outcome_OUTCOME_EXPIRED
	switch a.GetAction() {
	case "block", "limit", "rule", "net-isolate":
		if over {
			return "network", "allowed"
		}
		return "network", "denied"
	case "pause":
		return "process", "change"
	case "stop", "kill":
		if over {
			return "process", "start"
		}
		return "process", "end"
	}
	return "intrusion_detection", "info"
}

// outcomeOf returns what is known of how an action ended.
func outcomeOf(o pb.Outcome) string {
	switch o {
	case pb.Outcome_OUTCOME_APPLIED, pb.Outcome_OUTCOME_RELEASED, pb.Outcome_OUTCOME_EXPIRED:
		return "success"
	case pb.Outcome_OUTCOME_REFUSED, pb.Outcome_OUTCOME_FAILED:
		return "failure"
	}
	return "unknown"
}

// AppendAction appends an action as one JSON object without a line feed.
func (e *Encoder) AppendAction(dst []byte, a *pb.ActionEvent) []byte {
	w := view.NewWriter(dst)
	outcome := view.OutcomeName(a.GetOutcome())
	w.Open("")
	e.begin(w, a.GetTime(), a.GetAction()+" "+a.GetTarget()+": "+outcome, nil, a.GetTraceId())
	category, kind := kindOf(a)
	w.Open("event")
	w.Text("kind", "event")
	w.Texts("category", []string{category})
	w.Texts("type", []string{kind})
	w.Text("id", a.GetId())
	w.Text("action", a.GetAction())
	w.Text("outcome", outcomeOf(a.GetOutcome()))
	w.Text("module", "ironpost")
	w.Text("dataset", "ironpost.action")
	w.Text("provider", a.GetEnforcer())
	w.Text("reason", a.GetReason())
	w.Close()
	target(w, a.GetTarget(), category)
	e.host(w, "", true)
	w.Open("ironpost")
	w.Text("alert_id", a.GetAlertId())
	w.Text("target", a.GetTarget())
	w.Text("outcome", outcome)
	w.Text("mode", a.GetMode())
	w.Time("expires", a.GetExpires())
	w.Fields("details", a.GetDetails())
	w.Close()
	w.Close()
	return w.Bytes()
}

// target writes what an action is about: the address that traffic comes from, or a
// container.
func target(w *view.Writer, text, category string) {
	addr, err := netip.ParseAddr(text)
	if p, perr := netip.ParsePrefix(text); perr == nil && p.IsSingleIP() {
		addr, err = p.Addr(), nil
	}
	switch {
	case err == nil:
		addr = addr.Unmap().WithZone("")
		endpoint(w, "source", addr, 0)
		w.Open("related")
		w.Texts("ip", []string{addr.String()})
		w.Close()
	case category != "intrusion_detection" && !isNetwork(text):
		w.Open("container")
		w.Text("id", text)
		w.Close()
	}
}

func isNetwork(text string) bool {
	_, err := netip.ParsePrefix(text)
	return err == nil
}
