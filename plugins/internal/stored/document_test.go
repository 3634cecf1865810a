package stored

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk/event"
)

// fill gives every field below v a value of its own that is not zero.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(*n), 17).UTC()))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{192, 0, 2, byte(*n)})))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(t, f, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.String:
		v.SetString(strconv.Itoa(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(1 + *n%255))
	case reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n))
	default:
		t.Fatalf("no value for a %v", v.Type())
	}
}

// filled returns an event of which every field has a value.
func filled[E any](t *testing.T) E {
	t.Helper()
	var e E
	n := 0
	fill(t, reflect.ValueOf(&e).Elem(), &n)
	return e
}

// through writes a document and reads it again.
func through[D any](t *testing.T, doc D) (back D) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestAlertComesBack holds the document of an alert, and so those of the streams, logs and
// packets in it, to every field that there is, but those that are columns.
func TestAlertComesBack(t *testing.T) {
	want := filled[event.AlertEvent](t)
	doc := through(t, AlertOf(&want))
	var got event.AlertEvent
	doc.Fill(&got)
	columns := cmpopts.IgnoreFields(event.AlertEvent{}, "ID", "Time", "RuleID", "Severity", "Detector", "Group", "TraceID")
	if diff := cmp.Diff(want, got, columns, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("an alert changed (-want +got):\n%s", diff)
	}
	if got := ParseTrace(want.TraceID.String()); got != want.TraceID {
		t.Errorf("got trace %v, want %v", got, want.TraceID)
	}
}

// TestActionComesBack and TestInventoryComesBack do the same for theirs.
func TestActionComesBack(t *testing.T) {
	want := filled[event.ActionEvent](t)
	doc := through(t, ActionOf(&want))
	var got event.ActionEvent
	doc.Fill(&got)
	columns := cmpopts.IgnoreFields(event.ActionEvent{}, "ID", "Time", "AlertID", "TraceID", "Enforcer", "Action", "Target", "Outcome", "Mode")
	if diff := cmp.Diff(want, got, columns); diff != "" {
		t.Errorf("an action changed (-want +got):\n%s", diff)
	}
}

func TestInventoryComesBack(t *testing.T) {
	want := filled[event.InventoryEvent](t)
	doc := through(t, InventoryOf(&want))
	var got event.InventoryEvent
	doc.Fill(&got)
	columns := cmpopts.IgnoreFields(event.InventoryEvent{}, "ID", "Time", "Target", "TargetName", "Name", "Version", "Ecosystem", "PURL", "InUse", "Removed")
	if diff := cmp.Diff(want, got, columns); diff != "" {
		t.Errorf("a package changed (-want +got):\n%s", diff)
	}
}
