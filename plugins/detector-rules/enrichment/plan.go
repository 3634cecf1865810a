package enrichment

import (
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/domainlist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/geo"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/table"
)

// The fields that lists give, beside source.threat.list, destination.threat.list
// and domain.threat.list.
const (
	fieldThreatList      = "threat.list"
	fieldFeed            = "threat.feed.name"
	fieldIndicatorIP     = "threat.indicator.ip"
	fieldIndicatorDomain = "threat.indicator.url.domain"
	fieldDomainList      = "domain.threat.list"
)

// plan is everything that an event is looked up in. It is immutable.
type plan struct {
	lists
	databases []*geo.Database
	// sides are source and destination.
	sides [2]side
	// domains says that names are looked up.
	domains bool
	// texts are the tables about anything but addresses.
	texts []*table.Table
	// roles are the fields that are looked at, lengths a bit for the length of each;
	// longer than 63 is one.
	roles   []role
	lengths uint64
	// idle says that there is nothing to look up.
	idle bool
}

// role is what a field of an event is.
type role struct {
	field string
	what  int // a side, or asDomain
}

const (
	asSource = iota
	asDestination
	asDomain
)

// side is what an address of an event is looked up in, and the fields that this
// gives.
type side struct {
	geo, lists bool
	tables     []addressTable

	country, countryName, continent, region, regionName, city, number, organization, list string
}

type addressTable struct {
	table  *table.Table
	fields []string
}

func newSide(prefix string) side {
	return side{
		country: prefix + ".geo.country_iso_code", countryName: prefix + ".geo.country_name", continent: prefix + ".geo.continent_code",
		region: prefix + ".geo.region_iso_code", regionName: prefix + ".geo.region_name", city: prefix + ".geo.city_name",
		number: prefix + ".as.number", organization: prefix + ".as.organization.name", list: prefix + ".threat.list",
	}
}

// newPlan makes a plan of what is in force and wanted.
func (e *Enricher) newPlan() *plan {
	p := &plan{lists: e.lists, sides: [2]side{newSide("source"), newSide("destination")}}
	wants := func(fields ...string) bool {
		if e.wanted == nil {
			return true
		}
		for _, f := range fields {
			if e.wanted[f] {
				return true
			}
		}
		return false
	}
	for _, f := range e.sorted() {
		if d := f.loaded.database; d != nil {
			p.databases = append(p.databases, d)
		}
		t := f.loaded.table
		switch {
		case t == nil:
		case t.Key() == table.AddressKey:
			for i, prefix := range []string{"source.", "destination."} {
				var fields []string
				for _, c := range t.Columns() {
					fields = append(fields, prefix+c)
				}
				if wants(fields...) {
					p.sides[i].tables = append(p.sides[i].tables, addressTable{t, fields})
				}
			}
		case wants(t.Columns()...):
			p.texts = append(p.texts, t)
		}
	}
	p.idle = len(p.texts) == 0
	for i := range p.sides {
		s := &p.sides[i]
		s.geo = len(p.databases) > 0 && wants(s.country, s.countryName, s.continent, s.region, s.regionName, s.city, s.number, s.organization)
		s.lists = p.ips != nil && wants(fieldThreatList, fieldFeed, fieldIndicatorIP, s.list)
		if s.geo || s.lists || len(s.tables) > 0 {
			p.look(i, [][]string{e.config.SourceFields, e.config.DestinationFields}[i])
		}
	}
	if p.domains = p.lists.domains != nil && wants(fieldThreatList, fieldFeed, fieldIndicatorDomain, fieldDomainList); p.domains {
		p.look(asDomain, e.config.DomainFields)
	}
	return p
}

// look makes fields some that are looked at.
func (p *plan) look(what int, fields []string) {
	p.idle = false
	for _, f := range fields {
		p.roles = append(p.roles, role{f, what})
		p.lengths |= 1 << min(len(f), 63)
	}
}

// roleOf returns the number of the role of a field; ok is false when it has none.
func (p *plan) roleOf(field string) (n int, ok bool) {
	if p.lengths&(1<<min(len(field), 63)) == 0 {
		return 0, false
	}
	for i := range p.roles {
		if p.roles[i].field == field {
			return i, true
		}
	}
	return 0, false
}

// address puts what is known about an address.
func (p *plan) address(n int, a netip.Addr, text string, put func(field, value string)) {
	s := &p.sides[n]
	if s.geo {
		for _, d := range p.databases {
			if r := d.Lookup(a); r != nil {
				s.putRecord(r, put)
			}
		}
	}
	if s.lists {
		names := p.ips.Names(p.ips.Lookup(a))
		for _, name := range names {
			put(fieldThreatList, name)
			put(fieldFeed, name)
			put(s.list, name)
		}
		if len(names) > 0 {
			put(fieldIndicatorIP, text)
		}
	}
	for i := range s.tables {
		t := &s.tables[i]
		if row, ok := t.table.Address(a); ok {
			for c, field := range t.fields {
				if cell := row.Cell(c); cell != "" {
					put(field, cell)
				}
			}
		}
	}
}

func (s *side) putRecord(r *geo.Record, put func(field, value string)) {
	for _, f := range [...]struct{ field, value string }{
		{s.country, r.Country},
		{s.countryName, r.CountryName},
		{s.continent, r.Continent},
		{s.region, r.Region},
		{s.regionName, r.RegionName},
		{s.city, r.City},
		{s.number, r.Number},
		{s.organization, r.Organization},
	} {
		if f.value != "" {
			put(f.field, f.value)
		}
	}
}

// domain puts what is known about the name of a host.
func (p *plan) domain(name string, put func(field, value string)) {
	p.lists.domains.Lookup(name, func(s domainlist.Set) {
		for _, list := range p.lists.domains.Names(s) {
			put(fieldThreatList, list)
			put(fieldFeed, list)
			put(fieldDomainList, list)
		}
		put(fieldIndicatorDomain, strings.TrimSuffix(name, "."))
	})
}

// text puts what the tables say about the values of fields.
func (p *plan) text(get func(field string) (string, bool), put func(field, value string)) {
	for _, t := range p.texts {
		value, ok := get(t.Key())
		if !ok {
			continue
		}
		if row, ok := t.Text(value); ok {
			for c, field := range t.Columns() {
				if cell := row.Cell(c); cell != "" {
					put(field, cell)
				}
			}
		}
	}
}
