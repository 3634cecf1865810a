package store

import "context"

// step is a change of a schema. Released steps never change: a database that has had the
// first n of them has the user_version n, and every earlier one is a fixture in
// testdata.
type step struct {
	sql string
	// fill, when set, fills what sql made from what is there.
	fill func(ctx context.Context, d *database) error
}

// schema is what a kind of database consists of.
type schema struct {
	// synchronous is SQLite's setting: FULL waits for the disk at each commit,
	// NORMAL at each checkpoint.
	synchronous string
	steps       []step         // see sumOf for the columns named sum
	insert      [tables]string // by table; "" where the database has none
}

// table says where a row belongs.
type table int

const (
	tableAlerts table = iota
	tableActions
	tableStreams
	tableLogs
	tablePackets
	tableEntities
	tablePackages
	tableAdvisories
	tableGone           // packages by id, which are deleted
	tableTargetGone     // all of a target
	tableText           // the words of alerts or log events
	tables          int = iota
)

var alertSchema = schema{
	synchronous: "FULL",
	steps: []step{{sql: `
CREATE TABLE alerts (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	time INTEGER NOT NULL,
	severity INTEGER NOT NULL,
	rule_id TEXT NOT NULL,
	detector TEXT NOT NULL,
	grp TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	doc TEXT NOT NULL,
	state TEXT NOT NULL DEFAULT 'open'
) STRICT;
CREATE INDEX alerts_time ON alerts (time);
CREATE INDEX alerts_rule ON alerts (rule_id, time);
CREATE INDEX alerts_state ON alerts (state, time);
CREATE TABLE entities (
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	time INTEGER NOT NULL,
	alert INTEGER NOT NULL,
	PRIMARY KEY (key, value, time, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX entities_alert ON entities (alert);
CREATE TABLE states (
	alert INTEGER NOT NULL,
	time INTEGER NOT NULL,
	state TEXT NOT NULL,
	actor TEXT NOT NULL,
	note TEXT NOT NULL
) STRICT;
CREATE INDEX states_alert ON states (alert, time);
CREATE TABLE actions (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL,
	outcome INTEGER NOT NULL,
	time INTEGER NOT NULL,
	alert_id TEXT NOT NULL,
	trace_id TEXT NOT NULL,
	enforcer TEXT NOT NULL,
	action TEXT NOT NULL,
	target TEXT NOT NULL,
	mode TEXT NOT NULL,
	doc TEXT NOT NULL,
	UNIQUE (id, outcome, time)
) STRICT;
CREATE INDEX actions_time ON actions (time);
CREATE INDEX actions_alert ON actions (alert_id);
CREATE INDEX actions_target ON actions (target, time);
`}, {
		// The words of alerts; see textKey for the numbers of its rows.
		sql: `
CREATE VIRTUAL TABLE alerts_text USING fts5(words, content='', contentless_delete=1, tokenize='ascii');
ALTER TABLE alerts ADD COLUMN sum INTEGER;
ALTER TABLE states ADD COLUMN sum INTEGER;
ALTER TABLE actions ADD COLUMN sum INTEGER;
CREATE INDEX alerts_grp ON alerts (grp, time);
CREATE INDEX alerts_trace ON alerts (trace_id, time);
CREATE INDEX actions_trace ON actions (trace_id, time);
`,
		fill: fillAlertText,
	}},
	insert: [tables]string{
		tableAlerts:   `INSERT OR IGNORE INTO alerts (id, time, severity, rule_id, detector, grp, trace_id, doc, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tableEntities: `INSERT OR IGNORE INTO entities (key, value, time, alert) VALUES (?, ?, ?, ?)`,
		tableText:     alertTextInsert,
		tableActions:  `INSERT OR IGNORE INTO actions (id, outcome, time, alert_id, trace_id, enforcer, action, target, mode, doc, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	},
}

var eventSchema = schema{
	synchronous: "NORMAL",
	steps: []step{{sql: `
CREATE TABLE streams (
	id INTEGER PRIMARY KEY,
	doc TEXT NOT NULL
) STRICT;
CREATE TABLE logs (
	seq INTEGER PRIMARY KEY,
	stream INTEGER NOT NULL,
	sequence INTEGER NOT NULL,
	time INTEGER NOT NULL,
	observed INTEGER NOT NULL,
	severity INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	host TEXT NOT NULL,
	process TEXT NOT NULL,
	pid INTEGER NOT NULL,
	message TEXT NOT NULL,
	fields TEXT NOT NULL,
	raw BLOB,
	reason TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX logs_id ON logs (stream, sequence);
CREATE INDEX logs_time ON logs (time);
CREATE TABLE packets (
	seq INTEGER PRIMARY KEY,
	stream INTEGER NOT NULL,
	sequence INTEGER NOT NULL,
	time INTEGER NOT NULL,
	doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX packets_id ON packets (stream, sequence);
CREATE INDEX packets_time ON packets (time);
`}, {
		sql: `
CREATE VIRTUAL TABLE logs_text USING fts5(words, content='', columnsize=0, tokenize='ascii');
ALTER TABLE streams ADD COLUMN sum INTEGER;
ALTER TABLE logs ADD COLUMN sum INTEGER;
ALTER TABLE packets ADD COLUMN sum INTEGER;
`,
		fill: fillLogText,
	}},
	insert: [tables]string{
		tableStreams: `INSERT OR REPLACE INTO streams (id, doc, sum) VALUES (?, ?, ?)`,
		tableLogs:    `INSERT OR IGNORE INTO logs (stream, sequence, time, observed, severity, flags, host, process, pid, message, fields, raw, reason, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tableText:    logTextInsert,
		tablePackets: `INSERT OR IGNORE INTO packets (stream, sequence, time, doc, sum) VALUES (?, ?, ?, ?, ?)`,
	},
}
