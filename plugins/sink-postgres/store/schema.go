package store

import (
	"fmt"
	"strings"
)

// table says where rows go.
type table uint8

// The tables. Their numbers are in spools: none changes.
const (
	tableStreams table = iota + 1
	tableLogs
	tablePackets
	tableAlerts
	tableActions
	tablePackages
	tables
)

// layout is what a table needs when it is written.
type layout struct {
	name string
	// staged are the columns of the temporary table that rows are copied into, in
	// their order.
	staged string
	// columns are those that go on to the table itself, in the order of staged.
	columns string
	// daily says that the table is divided by days, with another one for events whose
	// times belong to no day that there is.
	daily bool
	// ledger says that its rows must not be given up for want of room.
	ledger bool
}

var layouts = [tables]layout{
	tableStreams: {
		name: "streams", columns: "id, doc",
		staged: "id bigint, doc jsonb",
	},
	tableLogs: {
		name: "logs", daily: true,
		columns: "time, nano, stream, sequence, observed, severity, flags, host, process, pid, message, fields, keys, again, raw, reason, words",
		staged: "time timestamptz, nano smallint, stream bigint, sequence bigint, observed bigint, severity smallint, flags bigint, host text, process text, " +
			"pid bigint, message text, fields jsonb, keys text[], again text[], raw bytea, reason text, words tsvector",
	},
	tablePackets: {
		name: "packets", daily: true,
		columns: "time, nano, stream, sequence, doc",
		staged:  "time timestamptz, nano smallint, stream bigint, sequence bigint, doc jsonb",
	},
	tableAlerts: {
		name: "alerts", daily: true, ledger: true,
		columns: "time, nano, id, severity, rule_id, title, detector, grp, trace_id, entities, doc, words",
		staged: "time timestamptz, nano smallint, id text, severity smallint, rule_id text, title text, detector text, grp text, trace_id text, " +
			"entities jsonb, doc jsonb, words tsvector",
	},
	tableActions: {
		name: "actions", daily: true, ledger: true,
		columns: "time, nano, id, outcome, alert_id, trace_id, enforcer, action, target, mode, doc",
		staged: "time timestamptz, nano smallint, id text, outcome smallint, alert_id text, trace_id text, enforcer text, action text, target text, " +
			"mode text, doc jsonb",
	},
	tablePackages: {
		name: "packages", ledger: true,
		columns: "id, time, nano, target, target_name, name, version, ecosystem, purl, in_use, severity, advisories, doc",
		// op is P for a package, G for one that is gone, T for a target that is gone.
		staged: "op text, time timestamptz, nano smallint, id text, target text, target_name text, name text, version text, ecosystem text, purl text, " +
			"in_use boolean, severity smallint, advisories text[], doc jsonb, n bigint GENERATED ALWAYS AS IDENTITY",
	},
}

// migrations lead from no schema to the newest one; none is ever changed. The version
// of the schema is how many of them are in force.
var migrations = []string{firstSchema()}

// maxBack is how many days before today there may be tables of, at most; what is older
// goes into the tables for events that belong to no day.
const maxBack = 31

// firstSchema is version 1. Events are ordered by time, nano and seq, the order in
// which they came. Ids compare by bytes, so that prefixes of them can be found. Of what
// may be long the indexes hold the beginning: PostgreSQL's bound is 2.7 kB.
func firstSchema() string {
	var b strings.Builder
	b.WriteString(`
CREATE SEQUENCE ironpost.seq;
CREATE TABLE ironpost.hosts (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE,
	seen timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ironpost.streams (
	host_id integer NOT NULL,
	id bigint NOT NULL,
	doc jsonb NOT NULL,
	PRIMARY KEY (host_id, id)
);
CREATE TABLE ironpost.states (
	n bigint GENERATED ALWAYS AS IDENTITY,
	host_id integer NOT NULL,
	alert_id text COLLATE "C" NOT NULL,
	time timestamptz NOT NULL,
	state text NOT NULL,
	actor text NOT NULL,
	note text NOT NULL
);
CREATE INDEX states_alert ON ironpost.states (alert_id, host_id, n);
CREATE TABLE ironpost.packages (
	seq bigint NOT NULL DEFAULT nextval('ironpost.seq'),
	host_id integer NOT NULL,
	id text COLLATE "C" NOT NULL,
	time timestamptz NOT NULL,
	nano smallint NOT NULL,
	target text COLLATE "C" NOT NULL,
	target_name text NOT NULL,
	name text NOT NULL,
	version text NOT NULL,
	ecosystem text NOT NULL,
	purl text NOT NULL,
	in_use boolean NOT NULL,
	severity smallint NOT NULL,
	advisories text[] NOT NULL,
	doc jsonb NOT NULL,
	PRIMARY KEY (id, host_id)
);
CREATE INDEX packages_time ON ironpost.packages (time, nano, seq);
CREATE INDEX packages_target ON ironpost.packages (left(target, 200), host_id);
CREATE INDEX packages_name ON ironpost.packages (left(name, 200), time);
CREATE INDEX packages_advisories ON ironpost.packages USING gin (advisories);
`)
	for _, t := range []struct{ name, columns, unique, indexes string }{
		{
			"logs", `
	stream bigint NOT NULL,
	sequence bigint NOT NULL,
	observed bigint NOT NULL,
	severity smallint NOT NULL,
	flags bigint NOT NULL,
	host text NOT NULL,
	process text NOT NULL,
	pid bigint NOT NULL,
	message text NOT NULL,
	fields jsonb NOT NULL,
	keys text[] NOT NULL,
	again text[] NOT NULL,
	raw bytea,
	reason text NOT NULL,
	words tsvector NOT NULL`,
			"stream, sequence, host_id", "CREATE INDEX %[1]s_words ON ironpost.%[1]s USING gin (words) WITH (gin_pending_list_limit = 512);",
		},
		{
			"packets", `
	stream bigint NOT NULL,
	sequence bigint NOT NULL,
	doc jsonb NOT NULL`,
			"stream, sequence, host_id", "",
		},
		{
			"alerts", `
	id text COLLATE "C" NOT NULL,
	severity smallint NOT NULL,
	rule_id text NOT NULL,
	title text NOT NULL,
	detector text NOT NULL,
	grp text NOT NULL,
	trace_id text NOT NULL,
	state text NOT NULL DEFAULT 'open',
	entities jsonb NOT NULL,
	doc jsonb NOT NULL,
	words tsvector NOT NULL`,
			"id, host_id", `
CREATE INDEX %[1]s_rule ON ironpost.%[1]s (left(rule_id, 200), time, nano, seq);
CREATE INDEX %[1]s_state ON ironpost.%[1]s (state, time, nano, seq);
CREATE INDEX %[1]s_entities ON ironpost.%[1]s USING gin (entities jsonb_path_ops);
CREATE INDEX %[1]s_words ON ironpost.%[1]s USING gin (words) WITH (gin_pending_list_limit = 512);`,
		},
		{
			"actions", `
	id text COLLATE "C" NOT NULL,
	outcome smallint NOT NULL,
	alert_id text NOT NULL,
	trace_id text NOT NULL,
	enforcer text NOT NULL,
	action text NOT NULL,
	target text NOT NULL,
	mode text NOT NULL,
	doc jsonb NOT NULL`,
			"id, host_id, outcome, nano", `
CREATE INDEX %[1]s_alert ON ironpost.%[1]s (left(alert_id, 200));
CREATE INDEX %[1]s_target ON ironpost.%[1]s (left(target, 200), time, nano, seq);`,
		},
	} {
		common := "\tseq bigint NOT NULL DEFAULT nextval('ironpost.seq'),\n\thost_id integer NOT NULL,\n\ttime timestamptz NOT NULL,\n\tnano smallint NOT NULL," + t.columns
		fmt.Fprintf(&b, "CREATE TABLE ironpost.%s (\n%s,\n\tUNIQUE (%s, time)\n) PARTITION BY RANGE (time);\n", t.name, common, t.unique)
		outside := t.name + "_outside"
		fmt.Fprintf(&b, "CREATE TABLE ironpost.%s (\n%s,\n\tstored timestamptz NOT NULL DEFAULT now(),\n\tUNIQUE (%s, time)\n);\n", outside, common, t.unique)
		fmt.Fprintf(&b, "CREATE INDEX %[1]s_stored ON ironpost.%[1]s (stored);\n", outside)
		for _, name := range []string{t.name, outside} {
			fmt.Fprintf(&b, "CREATE INDEX %[1]s_time ON ironpost.%[1]s (time, nano, seq);\nCREATE INDEX %[1]s_brin ON ironpost.%[1]s USING brin (time) WITH (autosummarize = on);\n", name)
			if t.indexes != "" {
				fmt.Fprintf(&b, t.indexes+"\n", name)
			}
		}
	}
	b.WriteString(makeDays)
	return b.String()
}

// makeDays is a function that makes tables of days, also for roles that may not make
// tables. A table is made by itself and then attached, which holds up nobody who writes.
const makeDays = `
CREATE FUNCTION ironpost.make_days(first date, last date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	parent text;
	child text;
	day date;
BEGIN
	IF first < current_date - 40 OR last > current_date + 40 THEN
		RAISE EXCEPTION 'tables are made for 40 days around today, not from % to %', first, last;
	END IF;
	PERFORM pg_advisory_xact_lock(7162061735);
	FOREACH parent IN ARRAY ARRAY['logs', 'packets', 'alerts', 'actions'] LOOP
		day := first;
		WHILE day <= last LOOP
			child := parent || to_char(day, '_YYYYMMDD');
			IF to_regclass('ironpost.' || child) IS NULL THEN
				EXECUTE format('CREATE TABLE ironpost.%I (LIKE ironpost.%I INCLUDING ALL, CONSTRAINT of_the_day CHECK (time >= %L AND time < %L))',
					child, parent, day::timestamptz, (day + 1)::timestamptz);
				EXECUTE format('ALTER TABLE ironpost.%I ATTACH PARTITION ironpost.%I FOR VALUES FROM (%L) TO (%L)',
					parent, child, day::timestamptz, (day + 1)::timestamptz);
				EXECUTE format('ALTER TABLE ironpost.%I DROP CONSTRAINT of_the_day', child);
			END IF;
			day := day + 1;
		END LOOP;
	END LOOP;
END $$;
REVOKE ALL ON FUNCTION ironpost.make_days(date, date) FROM PUBLIC;
`
