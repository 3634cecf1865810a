// Package enrichment adds to events what local files know: where an address is and
// whose (databases in MaxMind's format), on which lists an address or the name of a
// host is, and what tables of the site say about users, addresses and anything else. It
// also reads the values of placeholders for rules. Nothing leaves the host, and
// nothing is fetched: keeping the files fresh is for whoever put them there.
//
// # Fields
//
// For the address that something came from (destination.* for where it went):
//
//	source.geo.country_iso_code   DE        source.as.number              64496
//	source.geo.country_name       Germany   source.as.organization.name   Example
//	source.geo.continent_code     EU        source.threat.list            a list's name
//	source.geo.region_iso_code    DE-BY     source.geo.region_name        Bavaria
//	source.geo.city_name          Munich    source.<column>               of tables with the key ip
//
// These are ECS names but for source.threat.list. A list that has the address or the
// name is named by
//
//	threat.list, threat.feed.name   each list's name; the first is short for the second, ECS's
//	threat.indicator.ip             the address
//	threat.indicator.url.domain     the name
//	domain.threat.list              each list that has a name
//
// threat.list does not say which address it is; a rule that lets somebody be blocked
// asks for source.threat.list. A field has a value for each list.
//
// # Use
//
//	e, err := enrichment.New(config)       // after the configuration is in place
//	change := e.Refresh()                  // before the first event; log change.Problems
//	go e.Run(ctx, func(c enrichment.Change) { ... })
//	e.Log(ev)                              // before the event is matched
//
// In the detector that is: Config's fields in its section; "config:geo_databases",
// "config:ip_lists", "config:domain_lists", "config:lookup_tables" and
// "config:placeholders" as Permissions.Read; New, Refresh and Run in Setup; e.Log(ev)
// in Detect before the engine has the event; e.Packet(p, s.Text) and e.Alert(a, s.Text)
// at the end of the Values of a packet and an alert, with s.Text bound once;
// e.Placeholders() as sigma.Options.Placeholders; and where Change.Placeholders is set,
// the bundle of rules loaded again. e.Want with the fields that the rules name keeps
// those from being looked up that nobody asks for; group_by names fields too. e.Err
// belongs to the health, e.Stats to the counters.
//
// # Files
//
// Refresh looks at size, time and identity of each file; Run does so at an interval,
// since lists are written by programs that do not tell. A version is read when it has
// not changed from one look to the next, parsed and checked aside, and swapped in as
// a whole: an event is looked up in the old or in the new. A version that is
// broken is named with its line and what mends it, once, and the one before stays in
// force; so does that of a named file which is gone, while one of a folder or pattern
// ends. A list with one wrong line in a hundred at most is used without them, which
// is said. An empty list is taken for a download that failed.
//
// # Bounds
//
// MaxFiles files, MaxDatabases databases, MaxTables tables, 64 lists of each kind with
// 4,194,304 entries together, Config.MaxFile bytes a file, Config.MaxMemory bytes for
// everything in force. What is beyond is refused, named and counted in Stats.Broken.
// While a file is exchanged there are its bytes, what was parsed of them, and the new
// index beside the old: for the greatest of the lists some three times what is in
// force. Packages iplist, domainlist, geo and table say what an entry takes.
//
// # Concurrency
//
// Events may be looked up from any goroutine, without locks; see Enricher.
package enrichment
