package ndjson

import (
	"net/netip"
	"strconv"

	"github.com/ironpost/ironpost/sdk/event"
)

// AppendAlert appends an alert as one line.
func AppendAlert(buf []byte, a *event.AlertEvent) []byte {
	o := open(buf)
	o.string("kind", "alert")
	o.string("id", a.ID)
	o.time("time", a.Time)
	o.time("observed_time", a.ObservedTime)
	o.string("severity", a.Severity.String())
	o.string("rule_id", a.RuleID)
	o.string("title", a.Title)
	o.text("description", a.Description)
	o.string("detector", a.Detector)
	o.text("group", a.Group)
	o.fields("entities", a.Entities)
	o.count("count", a.Count)
	o.string("state", "open")
	o.text("silenced_by", a.SilencedBy)
	o.string("trace_id", a.TraceID.String())
	o.strings("tags", a.Tags)
	o.fields("details", a.Details)
	o.string("evidence", a.Evidence.String())
	o.string("provenance", a.Provenance.String())
	o.text("peer", a.Peer)
	o.number("hops", uint64(a.Hops))
	if len(a.Logs)+len(a.Packets) > 0 {
		o.key("events")
		o.buf = append(o.buf, '[')
		for i, e := range a.Logs {
			if i > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = appendLog(o.buf, e)
		}
		for i, p := range a.Packets {
			if i+len(a.Logs) > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = appendPacket(o.buf, p)
		}
		o.buf = append(o.buf, ']')
	}
	return append(o.close(), '\n')
}

// AppendAction appends an action as one line.
func AppendAction(buf []byte, a *event.ActionEvent) []byte {
	o := open(buf)
	o.string("kind", "action")
	o.string("id", a.ID)
	o.time("time", a.Time)
	o.string("alert_id", a.AlertID)
	o.string("trace_id", a.TraceID.String())
	o.string("enforcer", a.Enforcer)
	o.string("action", a.Action)
	o.string("target", a.Target)
	o.string("outcome", a.Outcome.String())
	o.string("mode", a.Mode)
	o.text("reason", a.Reason)
	o.time("expires", a.Expires)
	o.fields("details", a.Details)
	return append(o.close(), '\n')
}

// AppendLog appends a log event as one line.
func AppendLog(buf []byte, e *event.LogEvent) []byte { return append(appendLog(buf, e), '\n') }

// AppendPacket appends a packet summary as one line.
func AppendPacket(buf []byte, p *event.PacketEvent) []byte { return append(appendPacket(buf, p), '\n') }

var flagNames = []struct {
	flag event.Flags
	name string
}{
	{event.FlagTimeInferred, "time_inferred"},
	{event.FlagUnparsed, "unparsed"},
	{event.FlagTruncated, "truncated"},
	{event.FlagTimeClamped, "time_clamped"},
	{event.FlagUnrouted, "unrouted"},
}

func appendLog(buf []byte, e *event.LogEvent) []byte {
	o := open(buf)
	o.string("kind", "log")
	o.string("id", e.ID().String())
	o.time("time", e.Time)
	o.time("observed_time", e.ObservedTime)
	o.stream(e.Stream)
	o.string("severity", e.Severity.String())
	o.text("host", e.Host)
	o.text("process", e.Process)
	o.number("pid", uint64(e.PID))
	o.string("message", e.Message)
	o.fields("fields", e.Fields)
	var flags []string
	for _, f := range flagNames {
		if e.Flags&f.flag != 0 {
			flags = append(flags, f.name)
		}
	}
	o.strings("flags", flags)
	o.text("reason", e.Reason)
	o.base64("raw", e.Raw)
	return o.close()
}

func appendPacket(buf []byte, p *event.PacketEvent) []byte {
	o := open(buf)
	o.string("kind", "packet")
	o.string("id", p.ID().String())
	o.time("time", p.Time)
	o.stream(p.Stream)
	o.string("scope", p.Scope.String())
	o.text("interface", p.Interface)
	if p.Interval > 0 {
		o.key("interval_seconds")
		o.buf = strconv.AppendFloat(o.buf, p.Interval.Seconds(), 'g', -1, 64)
	}
	o.address("src_ip", p.Source)
	o.address("dst_ip", p.Destination)
	o.number("dst_port", uint64(p.DestinationPort))
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"packets", p.Packets},
		{"bytes", p.Bytes},
		{"syn", p.SYN},
		{"syn_ack", p.SYNACK},
		{"ack", p.ACK},
		{"fin", p.FIN},
		{"rst", p.RST},
		{"odd", p.Odd},
		{"udp", p.UDP},
		{"icmp", p.ICMP},
		{"echo", p.Echo},
		{"reflected", p.Reflected},
		{"service", uint64(p.Service)},
		{"odd_kinds", uint64(p.OddKinds)},
		{"other", p.Other},
		{"dropped", p.Dropped},
		{"would_drop", p.WouldDrop},
		{"ports", uint64(p.Ports)},
		{"peers", uint64(p.Peers)},
	} {
		o.number(c.name, c.value)
	}
	if len(p.PortSample) > 0 {
		o.key("port_sample")
		o.buf = append(o.buf, '[')
		for i, port := range p.PortSample {
			if i > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = strconv.AppendUint(o.buf, uint64(port), 10)
		}
		o.buf = append(o.buf, ']')
	}
	return o.close()
}

func (o *object) stream(s *event.Stream) {
	if s == nil {
		return
	}
	o.text("stream", s.Name)
	o.text("source", s.Plugin)
	o.string("provenance", s.Provenance.String())
}

func (o *object) address(name string, a netip.Addr) {
	if a.IsValid() {
		o.string(name, a.String())
	}
}
