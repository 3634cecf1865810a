package shim

import "testing"

func TestIsShim(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want bool
	}{
		{[]string{"ironpost-sandbox", "3"}, true},
		{[]string{"ironpost-sandbox"}, false},
		{[]string{"ironpost", "3"}, false},
		{nil, false},
	} {
		if got := isShim(tt.args); got != tt.want {
			t.Errorf("isShim(%q): got %v, want %v", tt.args, got, tt.want)
		}
	}
}
