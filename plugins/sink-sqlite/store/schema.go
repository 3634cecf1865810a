package store

// schemaVersion is the user_version of the databases that this package writes.
const schemaVersion = 1

// schema is what a kind of database consists of.
type schema struct {
	// synchronous is SQLite's setting: FULL waits for the disk at each commit,
	// NORMAL at each checkpoint.
	synchronous string
	create      string
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
	tables          int = iota
)

var alertSchema = schema{
	synchronous: "FULL",
	create: `
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
`,
	insert: [tables]string{
		tableAlerts:   `INSERT OR IGNORE INTO alerts (id, time, severity, rule_id, detector, grp, trace_id, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		tableEntities: `INSERT OR IGNORE INTO entities (key, value, time, alert) VALUES (?, ?, ?, ?)`,
		tableActions:  `INSERT OR IGNORE INTO actions (id, outcome, time, alert_id, trace_id, enforcer, action, target, mode, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	},
}

var eventSchema = schema{
	synchronous: "NORMAL",
	create: `
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
`,
	insert: [tables]string{
		tableStreams: `INSERT OR REPLACE INTO streams (id, doc) VALUES (?, ?)`,
		tableLogs:    `INSERT OR IGNORE INTO logs (stream, sequence, time, observed, severity, flags, host, process, pid, message, fields, raw, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tablePackets: `INSERT OR IGNORE INTO packets (stream, sequence, time, doc) VALUES (?, ?, ?, ?)`,
	},
}
