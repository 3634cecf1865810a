package enrichment

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestLog(t *testing.T) {
	s := newSite(t)
	s.fill()
	e := fresh(t, s)
	for _, tt := range []struct {
		name string
		in   *event.LogEvent
		want string
	}{
		{"an address and a user", log("src_ip", "192.0.2.7", "user", "alice"), `src_ip=192.0.2.7
user=alice
source.as.number=64496
source.as.organization.name=Example
source.geo.country_iso_code=DE
source.geo.country_name=Germany
source.geo.continent_code=EU
threat.list=drop
threat.feed.name=drop
source.threat.list=drop
threat.list=level1
threat.feed.name=level1
source.threat.list=level1
threat.indicator.ip=192.0.2.7
user.department=finance
`},
		{"both addresses, one list", log("DestinationIp", "198.51.100.1", "source.ip", "198.51.100.2"), `DestinationIp=198.51.100.1
source.ip=198.51.100.2
threat.list=level1
threat.feed.name=level1
source.threat.list=level1
threat.indicator.ip=198.51.100.2
destination.threat.list=level1
threat.indicator.ip=198.51.100.1
`},
		{"a whole inner network is on no list, and in a table", log("src_ip", "10.1.2.3", "dst_ip", "10.1.9.9"), `src_ip=10.1.2.3
dst_ip=10.1.9.9
source.asset=printer
destination.asset=office
destination.owner=it
`},
		{"names", log("dns.question.name", "a.BAD.example.", "url.domain", "good.example"), `dns.question.name=a.BAD.example.
url.domain=good.example
threat.list=wild
threat.feed.name=wild
domain.threat.list=wild
threat.indicator.url.domain=a.BAD.example
`},
		{"fields that somebody wrote", log("threat.list", "none", "user.department", "sales", "asset", "x", "threat.list", "nothing", "src_ip", "198.51.100.1", "user", "alice"), `asset=x
src_ip=198.51.100.1
user=alice
threat.list=level1
threat.feed.name=level1
source.threat.list=level1
threat.indicator.ip=198.51.100.1
user.department=finance
`},
		{"the field named first decides", log("source.ip", "198.51.100.1", "src_ip", "203.0.113.1"), "source.ip=198.51.100.1\nsrc_ip=203.0.113.1\n"},
		{"what is no address is passed over", log("src_ip", "-", "source.ip", "10.1.2.3"), "src_ip=-\nsource.ip=10.1.2.3\nsource.asset=printer\n"},
		{"nothing to say", log("src_ip", "203.0.113.1", "user", "Alice"), "src_ip=203.0.113.1\nuser=Alice\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.Log(tt.in)
			if diff := cmp.Diff(tt.want, fields(tt.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	want := map[string][]string{"admins": {"root", "svc_*"}, "jumphosts": {"j1", "j2"}, "domain": {"corp.example"}}
	if diff := cmp.Diff(want, e.Placeholders()); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
}

func TestPacketsAndAlerts(t *testing.T) {
	s := newSite(t)
	s.fill()
	e := fresh(t, s)
	var got []string
	put := func(field, value string) { got = append(got, field+"="+value) }
	e.Packet(&event.PacketEvent{Source: netip.MustParseAddr("198.51.100.9"), Destination: netip.MustParseAddr("10.1.2.3")}, put)
	want := []string{"threat.list=level1", "threat.feed.name=level1", "source.threat.list=level1", "threat.indicator.ip=198.51.100.9", "destination.asset=printer"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packet (-want +got):\n%s", diff)
	}
	got = nil
	e.Alert(&event.AlertEvent{Entities: []event.Field{{Key: "user", Value: "alice"}, {Key: "dst_ip", Value: "198.51.100.9"}, {Key: "url.domain", Value: "bad.example"}}}, put)
	want = []string{
		"threat.list=level1", "threat.feed.name=level1", "destination.threat.list=level1", "threat.indicator.ip=198.51.100.9",
		"threat.list=bad", "threat.feed.name=bad", "domain.threat.list=bad", "threat.indicator.url.domain=bad.example", "user.department=finance",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alert (-want +got):\n%s", diff)
	}
}

func TestWant(t *testing.T) {
	s := newSite(t)
	s.fill()
	e := fresh(t, s)
	for _, tt := range []struct{ want, added string }{
		{"source.geo.city_name", "source.as.number=64496 source.as.organization.name=Example source.geo.country_iso_code=DE source.geo.country_name=Germany source.geo.continent_code=EU"},
		{"source.threat.list", "threat.list=drop threat.feed.name=drop source.threat.list=drop threat.indicator.ip=192.0.2.9"},
		{"destination.threat.list", ""},
		{"user.department", "user.department=finance"},
		{"src_ip", ""},
		{"", ""},
	} {
		e.Want(strings.Fields(tt.want))
		ev := log("src_ip", "192.0.2.9", "user", "alice")
		e.Log(ev)
		want := strings.Join(strings.Fields("src_ip=192.0.2.9 user=alice "+tt.added), "\n") + "\n"
		if diff := cmp.Diff(want, fields(ev)); diff != "" {
			t.Errorf("%s wanted (-want +got):\n%s", tt.want, diff)
		}
	}
	e.Want(nil)
	ev := log("user", "alice")
	if e.Log(ev); len(ev.Fields) != 2 {
		t.Errorf("everything is wanted: got %v", ev.Fields)
	}
}

func TestLogAllocatesNothing(t *testing.T) {
	s := newSite(t)
	s.fill()
	e := fresh(t, s)
	ev := log("src_ip", "192.0.2.7", "dst_ip", "2001:db8::1", "user", "alice", "url.domain", "x.bad.example", "source.ip", "-")
	own := len(ev.Fields)
	ev.Fields = append(make([]event.Field, 0, 64), ev.Fields...)
	if n := testing.AllocsPerRun(100, func() {
		ev.Fields = ev.Fields[:own]
		e.Log(ev)
	}); n != 0 {
		t.Errorf("got %v allocations an event, want none", n)
	}
}

func BenchmarkLog(b *testing.B) {
	s := newSite(b)
	s.fill()
	e := fresh(b, s)
	for _, bench := range []struct {
		name string
		want []string
		ev   *event.LogEvent
	}{
		{"everything found", nil, log("src_ip", "192.0.2.7", "user", "alice", "port", "22", "event_action", "ssh_failed_password")},
		{"nothing found", nil, log("src_ip", "203.0.113.7", "user", "carol", "port", "22", "event_action", "ssh_failed_password")},
		{"nothing wanted", []string{}, log("src_ip", "203.0.113.7", "user", "carol", "port", "22", "event_action", "ssh_failed_password")},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e.Want(bench.want)
			own := len(bench.ev.Fields)
			bench.ev.Fields = append(make([]event.Field, 0, 64), bench.ev.Fields...)
			b.ReportAllocs()
			for b.Loop() {
				bench.ev.Fields = bench.ev.Fields[:own]
				e.Log(bench.ev)
			}
		})
	}
}
