package geo

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// build makes a database.
func build(t testing.TB, kind string, ipVersion int, records map[string]mmdbtype.Map) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IPVersion: ipVersion, IncludeReservedNetworks: true, BuildEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, r := range records {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, r); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func named(en string) mmdbtype.Map { return mmdbtype.Map{"en": mmdbtype.String(en)} }

// city is a record as a database of cities has it.
func city() mmdbtype.Map {
	return mmdbtype.Map{
		"continent":    mmdbtype.Map{"code": mmdbtype.String("EU"), "names": named("Europe")},
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String("DE"), "names": named("Germany"), "geoname_id": mmdbtype.Uint32(2921044)},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("BY"), "names": named("Bavaria")}},
		"city":         mmdbtype.Map{"names": named("Munich")},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(48.1), "longitude": mmdbtype.Float64(11.5)},
	}
}

func asn() mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496), "autonomous_system_organization": mmdbtype.String("Example")}
}

func TestLookup(t *testing.T) {
	munich := Record{Continent: "EU", Country: "DE", CountryName: "Germany", Region: "DE-BY", RegionName: "Bavaria", City: "Munich"}
	for _, tt := range []struct {
		name, address string
		data          []byte
		want          *Record
	}{
		{"a city", "192.0.2.7", build(t, "GeoLite2-City", 6, map[string]mmdbtype.Map{"192.0.2.0/24": city()}), &munich},
		{"a city, IPv6", "2001:db8::1", build(t, "GeoLite2-City", 6, map[string]mmdbtype.Map{"2001:db8::/32": city()}), &munich},
		{"a mapped address", "::ffff:192.0.2.7", build(t, "GeoLite2-City", 4, map[string]mmdbtype.Map{"192.0.2.0/24": city()}), &munich},
		{"an autonomous system", "192.0.2.7", build(t, "GeoLite2-ASN", 4, map[string]mmdbtype.Map{"192.0.2.0/24": asn()}), &Record{Number: "64496", Organization: "Example"}},
		{"none", "198.51.100.1", build(t, "GeoLite2-ASN", 4, map[string]mmdbtype.Map{"192.0.2.0/24": asn()}), nil},
		{"IPv6 in a database of IPv4", "2001:db8::1", build(t, "GeoLite2-ASN", 4, map[string]mmdbtype.Map{"192.0.2.0/24": asn()}), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Open(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // read, and kept
				if diff := cmp.Diff(tt.want, d.Lookup(netip.MustParseAddr(tt.address))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	long := asn()
	long["autonomous_system_organization"] = mmdbtype.String(strings.Repeat("x", 1000))
	d, err := Open(build(t, "ASN", 4, map[string]mmdbtype.Map{"192.0.2.0/24": long}))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(d.Lookup(netip.MustParseAddr("192.0.2.1")).Organization); got != MaxText {
		t.Errorf("got %d bytes, want them cut at %d", got, MaxText)
	}
}

func TestOpenRefuses(t *testing.T) {
	whole := build(t, "GeoLite2-City", 6, map[string]mmdbtype.Map{"192.0.2.0/24": city()})
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no database in MaxMind's format"},
		{"text", []byte("<html>"), "no database in MaxMind's format"},
		{"the first half", whole[:len(whole)/2], "no database in MaxMind's format"},
		{"another kind", build(t, "Domain", 4, map[string]mmdbtype.Map{"192.0.2.0/24": {"domain": mmdbtype.String("example.com")}}), `neither countries nor cities nor autonomous systems; its type is "Domain"`},
		{"another schema", build(t, "Flat", 4, map[string]mmdbtype.Map{"192.0.2.0/24": {"country": mmdbtype.String("DE")}}), "read its record about 192.0.2.0/24"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(build(f, "GeoLite2-City", 6, map[string]mmdbtype.Map{"192.0.2.0/24": city(), "2001:db8::/32": asn()}))
	f.Add(build(f, "GeoLite2-ASN", 4, map[string]mmdbtype.Map{"192.0.2.0/24": asn()}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		d, err := Open(b)
		if err != nil {
			return
		}
		for _, a := range []string{"192.0.2.1", "2001:db8::1", "::", "255.255.255.255"} {
			_ = d.Lookup(netip.MustParseAddr(a))
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	d, err := Open(build(b, "GeoLite2-City", 6, map[string]mmdbtype.Map{"192.0.2.0/24": city(), "2001:db8::/32": asn()}))
	if err != nil {
		b.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	for b.Loop() {
		if d.Lookup(a) == nil {
			b.Fatal("not found")
		}
	}
}
