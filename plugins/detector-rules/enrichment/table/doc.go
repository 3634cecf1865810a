// Package table looks up what a site knows about its own users, addresses and
// hosts, in tables that its people write as CSV or YAML.
//
// The first column of a CSV is the key, and its head the field of an event whose
// value is looked up; the heads of the others are the fields that the event gets:
//
//	user,user.department,user.shift
//	alice,finance,day
//	bob,operations,night
//
// A YAML file says the same as
//
//	key: user
//	ignore_case: true
//	rows:
//	  alice: {user.department: finance, user.shift: day}
//
// A table whose key is ip is about addresses: keys are addresses or networks, the
// longest network that holds the address decides, and the heads stand for what the
// address is of, source or destination:
//
//	ip,asset,owner
//	10.1.0.0/16,office,it
//	10.1.2.3,printer,it
//
// An empty cell gives no field. A key may stand once; upper and lower case differ
// unless ignore_case is set.
//
// # Bounds
//
// MaxRows rows, MaxColumns columns, MaxCell bytes a cell; a table that has more is
// refused. A row takes its cells, 16 bytes for each, and some 60 bytes for its key.
// YAML takes ten times the file while it is read, and is for small tables: see
// MaxYAML. Aliases are refused.
//
// A look-up allocates nothing but with ignore_case, for keys that have upper case. A
// Table may be used from any goroutine.
package table
