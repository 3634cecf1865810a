package store

import (
	"strings"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// plan returns what SQLite says that it does for a statement, a line a step.
func plan(t *testing.T, d *database, text string, args ...any) string {
	t.Helper()
	rows, err := d.conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// No query reads a table from one end to the other, nor sorts what it reads, but for the
// few that have the same id.
func TestQueriesUseIndexes(t *testing.T) {
	s := open(t, Config{})
	s.PutLog(logEvent(1))
	s.PutInventory(aPackage(1))
	flushed(t, s)
	equal := func(key string) []event.Field { return []event.Field{{Key: key, Value: "x"}} }
	for _, tt := range []struct {
		name  string
		q     sdk.Query
		index string
	}{
		{"alerts", sdk.Query{Kind: event.KindAlert}, "alerts_time"},
		{"alerts since", sdk.Query{Kind: event.KindAlert, Since: 1, Until: 5}, "alerts_time"},
		{"alerts by severity", sdk.Query{Kind: event.KindAlert, MinSeverity: event.SeverityHigh}, "alerts_time"},
		{"alerts by state", sdk.Query{Kind: event.KindAlert, State: "open"}, "alerts_state"},
		{"alerts by rule", sdk.Query{Kind: event.KindAlert, Equal: equal("rule_id")}, "alerts_rule"},
		{"alerts by group", sdk.Query{Kind: event.KindAlert, Equal: equal("group")}, "alerts_grp"},
		{"alerts by trace", sdk.Query{Kind: event.KindAlert, Equal: equal("trace_id")}, "alerts_trace"},
		{"alerts by entity", sdk.Query{Kind: event.KindAlert, Equal: equal("src_ip")}, "USING PRIMARY KEY (key=? AND value=?"},
		{"alerts by entity and state", sdk.Query{Kind: event.KindAlert, Equal: equal("src_ip"), State: "open"}, "USING PRIMARY KEY (key=? AND value=?"},
		{"alert by id", sdk.Query{Kind: event.KindAlert, ID: "0123456789"}, "(id>? AND id<?)"},
		{"actions", sdk.Query{Kind: event.KindAction}, "actions_time"},
		{"actions by target", sdk.Query{Kind: event.KindAction, Equal: equal("target")}, "actions_target"},
		{"actions by alert", sdk.Query{Kind: event.KindAction, Equal: equal("alert_id")}, "actions_alert"},
		{"actions by trace", sdk.Query{Kind: event.KindAction, Equal: equal("trace_id")}, "actions_trace"},
		{"action by id", sdk.Query{Kind: event.KindAction, ID: "0123456789"}, "(id>? AND id<?)"},
		{"logs", sdk.Query{Kind: event.KindLog}, "logs_time"},
		{"logs since", sdk.Query{Kind: event.KindLog, Since: 1}, "logs_time"},
		{"log by id", sdk.Query{Kind: event.KindLog, ID: "0123456789abcdef-1"}, "logs_id"},
		{"packets", sdk.Query{Kind: event.KindPacket}, "packets_time"},
		{"packets since", sdk.Query{Kind: event.KindPacket, Until: 1}, "packets_time"},
		{"packet by id", sdk.Query{Kind: event.KindPacket, ID: "0123456789abcdef-1"}, "packets_id"},
		{"packages", sdk.Query{Kind: event.KindInventory}, "packages_time"},
		{"packages by name", sdk.Query{Kind: event.KindInventory, Equal: equal("package")}, "packages_name"},
		{"packages by advisory", sdk.Query{Kind: event.KindInventory, Equal: equal("cve")}, "packages_time"},
	} {
		sel, err := selection(tt.q)
		if err != nil {
			t.Fatal(err)
		}
		d := s.alerts
		switch tt.q.Kind {
		case event.KindLog, event.KindPacket:
			d = s.days[0].database
		case event.KindInventory:
			d = s.inventory
		}
		got := plan(t, d, sel.statement(sel.before(), 10), append([]any{int64(9), int64(9)}, sel.args...)...)
		if !strings.Contains(got, tt.index) {
			t.Errorf("%s: want %s in the plan:\n%s", tt.name, tt.index, got)
		}
		for line := range strings.Lines(got) {
			scan := strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "USING") && !strings.HasPrefix(line, "SCAN h")
			sort := strings.Contains(line, "TEMP B-TREE FOR ORDER BY") || strings.Contains(line, "TEMP B-TREE FOR LAST")
			if few := tt.q.ID != "" || strings.Contains(tt.index, "actions_alert"); scan || sort && !few {
				t.Errorf("%s: %s in the plan:\n%s", tt.name, strings.TrimSpace(line), got)
			}
		}
	}
	// A search walks the index of words from its newest row.
	for index, d := range map[string]*database{"alerts_text": s.alerts, "logs_text": s.days[0].database} {
		got := plan(t, d, "SELECT rowid FROM "+index+" WHERE "+index+" MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT 9", `"x"`, 1, 2)
		if !strings.Contains(got, "VIRTUAL TABLE INDEX") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("search of %s:\n%s", index, got)
		}
		table := map[string]string{"alerts_text": "alerts", "logs_text": "logs"}[index]
		got = plan(t, d, "SELECT t.time, t.seq FROM "+table+" t WHERE t.seq IN (SELECT value FROM json_each(?))", "[1]")
		if !strings.Contains(got, "USING INTEGER PRIMARY KEY") {
			t.Errorf("rows of a search of %s:\n%s", index, got)
		}
	}
}
