package doctor

import "testing"

func TestProcesses(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  uint64
		want Verdict
	}{
		{"root", 0x1ffffffffff, OK},
		{"both", 1<<capSysPtrace | 1<<capDACReadSearch, OK},
		{"one", 1 << capSysPtrace, Warn},
		{"the other", 1 << capDACReadSearch, Warn},
		{"nothing", 0, Warn},
	} {
		if got := processes(tt.set); got.Verdict != tt.want || (got.Mend == "") != (tt.want == OK) {
			t.Errorf("%s: got %+v, want %s", tt.name, got, tt.want)
		}
	}
}
