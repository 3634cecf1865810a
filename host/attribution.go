package host

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/resident"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// attribution adds to alerts who of this machine is behind the addresses and the
// processes that they name: details, and entities where there is no doubt. It
// changes nothing that a detector set.
type attribution struct{ finder finder }

// finder is what attribution asks.
type finder interface {
	Behind(resident.Endpoint) (resident.Answer, error)
	Process(pid int, name string, at time.Time) (resident.Answer, error)
}

const (
	// maxPorts and maxPIDs bound what is looked up for one alert.
	maxPorts = 16
	maxPIDs  = 4
	// maxAdded is what attribution may add to an alert, in bytes; one that has no
	// room for it stays as it is.
	maxAdded = 32 << 10
)

// The roles that somebody of this machine can have in an alert; details begin
// with them.
const (
	roleDestination = "dst"
	roleSource      = "src"
	roleLog         = "log" // who wrote the line
)

// add completes an alert. It returns within the time that package resident allows.
func (t attribution) add(a *pb.AlertEvent) {
	packets := len(a.Packets) > 0 && len(a.Logs) == 0
	// What a container or a stranger writes about addresses and processes of
	// this machine leads to nobody; packets are counted by the kernel.
	if !packets && a.Provenance != pb.Provenance_PROVENANCE_HOST {
		return
	}
	found := make(map[string]resident.Answer, 3)
	look := func(role string, answer resident.Answer) {
		if answer.Found() {
			found[role] = answer
		}
	}
	if to, ok := entityAddr(a, "dst_ip"); ok {
		look(roleDestination, t.destination(a, to))
	}
	if from, ok := entityAddr(a, "src_ip"); ok {
		answer, _ := t.finder.Behind(resident.Endpoint{Addr: from}) // it counts its errors
		look(roleSource, answer)
	}
	if !packets {
		look(roleLog, t.writer(a))
	}
	if len(found) == 0 || proto.Size(a) > pb.MaxBatchBytes/2-maxAdded {
		return
	}
	for _, role := range []string{roleDestination, roleSource, roleLog} {
		if answer, ok := found[role]; ok {
			describe(a, role, answer)
		}
	}
	name(a, found)
}

// destination finds who is behind the address that an alert says is attacked.
func (t attribution) destination(a *pb.AlertEvent, to netip.Addr) resident.Answer {
	e := resident.Endpoint{Addr: to, Protocols: protocols(a)}
	port, err := strconv.ParseUint(entity(a, "dst_port"), 10, 16)
	if err == nil {
		e.Port = uint16(port)
	}
	answer, err := t.finder.Behind(e)
	if err != nil || answer.Found() || e.Port != 0 {
		return answer
	}
	// The address is the host's own, or nobody's: who listens on the ports that
	// were tried is worth knowing. It is a sample, so that nothing follows from it.
	for _, port := range sampled(a) {
		e.Port = port
		one, err := t.finder.Behind(e)
		if err != nil {
			return resident.Answer{}
		}
		answer.Join(one)
	}
	if answer.Found() {
		answer.Ambiguous = true
		answer.Via = append(slices.Clone(answer.Via), "port_sample")
	}
	return answer
}

// protocols returns what the cited packets were, none where that is not known.
func protocols(a *pb.AlertEvent) resident.Protocols {
	var out resident.Protocols
	for _, p := range a.Packets {
		if p.Syn+p.Synack+p.Ack+p.Fin+p.Rst+p.Odd > 0 {
			out |= resident.TCP
		}
		if p.Udp > 0 {
			out |= resident.UDP
		}
	}
	return out
}

// sampled returns ports that the cited packets went to.
func sampled(a *pb.AlertEvent) []uint16 {
	var out []uint16
	for _, p := range a.Packets {
		for _, port := range append([]uint32{p.DestinationPort}, p.PortSample...) {
			if n := uint16(port); n != 0 && uint32(n) == port && !slices.Contains(out, n) {
				if out = append(out, n); len(out) == maxPorts {
					return out
				}
			}
		}
	}
	return out
}

// writer finds the process that wrote the log lines of an alert.
func (t attribution) writer(a *pb.AlertEvent) resident.Answer {
	type line struct {
		pid  int
		name string
		at   uint64
	}
	var lines []line
	if pid, err := strconv.ParseUint(entity(a, "pid"), 10, 31); err == nil {
		lines = []line{{int(pid), entity(a, "process"), a.Time}}
	} else {
		for _, l := range a.Logs {
			if l.Pid != 0 && l.Pid < 1<<31 && !slices.ContainsFunc(lines, func(o line) bool { return o.pid == int(l.Pid) }) {
				lines = append(lines, line{int(l.Pid), l.Process, l.Time})
			}
		}
	}
	var answer resident.Answer
	if len(lines) > maxPIDs {
		return answer
	}
	gone := false
	for _, l := range lines {
		one, err := t.finder.Process(l.pid, l.name, time.Unix(0, int64(l.at)))
		if err != nil {
			return resident.Answer{}
		}
		gone = gone || !one.Found()
		answer.Join(one)
	}
	answer.Ambiguous = answer.Found() && (answer.Ambiguous || gone)
	return answer
}

// describe adds the details of a role. Lists are separated by commas; those about
// processes have the same order.
func describe(a *pb.AlertEvent, role string, answer resident.Answer) {
	add := func(key, value string) {
		key = role + "_" + key
		if strings.Trim(value, ",") == "" || slices.ContainsFunc(a.Details, func(f *pb.Field) bool { return f.Key == key }) {
			return
		}
		a.Details = append(a.Details, &pb.Field{Key: key, Value: value})
	}
	add("container_id", list(answer.Containers, func(c resident.Container) string { return c.ID }))
	add("container_user", list(answer.Containers, func(c resident.Container) string { return c.Delegate }))
	add("pid", list(answer.Processes, func(p resident.Process) string { return strconv.Itoa(p.PID) }))
	add("process", list(answer.Processes, func(p resident.Process) string { return p.Name }))
	add("executable", list(answer.Processes, func(p resident.Process) string { return p.Executable }))
	add("uid", list(answer.Processes, func(p resident.Process) string { return strconv.FormatUint(uint64(p.UID), 10) }))
	add("user", list(answer.Processes, func(p resident.Process) string { return p.User }))
	add("netns", list(answer.Namespaces, func(n uint64) string { return strconv.FormatUint(n, 10) }))
	add("via", strings.Join(answer.Via, ","))
	if answer.Ambiguous {
		add("ambiguous", "true")
	}
}

func list[T any](of []T, text func(T) string) string {
	words := make([]string, len(of))
	for i, x := range of {
		words[i] = text(x)
	}
	return strings.Join(words, ",")
}

// name adds the entities that are beyond doubt: the one container of all roles,
// and the program that is attacked. A detector that named one of these knows better.
func name(a *pb.AlertEvent, found map[string]resident.Answer) {
	var containers []resident.Container
	var roles []string
	for _, role := range []string{roleDestination, roleSource, roleLog} {
		// Anybody can send packets in the name of a container.
		if role == roleSource && a.Evidence != pb.Evidence_EVIDENCE_CONFIRMED {
			continue
		}
		answer := found[role]
		if answer.Ambiguous {
			return
		}
		for _, c := range answer.Containers {
			roles = append(roles, role)
			if !slices.Contains(containers, c) {
				containers = append(containers, c)
			}
		}
	}
	if has(a, "container_id") {
		return
	}
	// A container that a user can make up the name of is nobody's target, nor is one
	// that only a line of a log leads to: any user can write one with the name and
	// the number of another's process (logger --id).
	shown := slices.ContainsFunc(roles, func(role string) bool { return role != roleLog })
	if len(containers) == 1 && containers[0].Delegate == "" && shown {
		a.Entities = append(a.Entities, &pb.Field{Key: "container_id", Value: containers[0].ID})
		a.Details = append(a.Details, &pb.Field{Key: "container_role", Value: strings.Join(roles, ",")})
	}
	attacked := found[roleDestination].Processes
	if len(attacked) == 0 || has(a, "pid") || has(a, "process") {
		return
	}
	// A process chooses its name, which must not pass for an address.
	if n := attacked[0].Name; !slices.ContainsFunc(attacked, func(p resident.Process) bool { return p.Name != n }) && !isAddr(n) && n != "" {
		a.Entities = append(a.Entities, &pb.Field{Key: "process", Value: n})
	}
	if len(attacked) == 1 {
		a.Entities = append(a.Entities, &pb.Field{Key: "pid", Value: strconv.Itoa(attacked[0].PID)})
	}
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func has(a *pb.AlertEvent, key string) bool {
	return slices.ContainsFunc(a.Entities, func(f *pb.Field) bool { return f.Key == key })
}

// entity returns the one value of an entity, "" when there is none or there are
// several.
func entity(a *pb.AlertEvent, key string) string {
	value, n := "", 0
	for _, f := range a.Entities {
		if f.Key == key {
			value = f.Value
			n++
		}
	}
	if n > 1 || len(value) > event.MaxRecord {
		return ""
	}
	return value
}

func entityAddr(a *pb.AlertEvent, key string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(entity(a, key))
	return addr, err == nil
}

// attributions are the counters of a Finder, those that count something.
func attributions(s resident.Stats) []*pb.Count {
	var out []*pb.Count
	for _, c := range []*pb.Count{
		{Name: "found", Value: s.Found},
		{Name: "ambiguous", Value: s.Ambiguous},
		{Name: "nobody", Value: s.Nobody},
		{Name: "busy", Value: s.Busy},
		{Name: "out_of_time", Value: s.Budget},
		{Name: "hidden", Value: s.Hidden},
		{Name: "failed", Value: s.Failed},
	} {
		if c.Value > 0 {
			out = append(out, c)
		}
	}
	return out
}
