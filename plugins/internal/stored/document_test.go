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

// TestAlertComesBack holds the document of an alert, and so those of the streams, logs and
// packets in it, to every field that there is, but those that are columns.
func TestAlertComesBack(t *testing.T) {
	var want event.AlertEvent
	n := 0
	fill(t, reflect.ValueOf(&want).Elem(), &n)
	text, err := json.Marshal(AlertOf(&want))
	if err != nil {
		t.Fatal(err)
	}
	var doc Alert
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
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
