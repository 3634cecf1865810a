package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A container decides how many files it changed and how many processes it has; what
// Docker tells of them must not take the plugin's memory.
func TestLongAnswers(t *testing.T) {
	const id = "0123456789ab"
	path := strings.Repeat("d/", 1000)
	e := start(t, &fake{version: "1.47", answer: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		begin, each := `[{"Path":"/","Kind":0}`, `,{"Path":"`+path+`","Kind":1}`
		if strings.HasSuffix(r.URL.Path, "/top") {
			begin, each = `{"Titles":["PID"],"Processes":[["1"]`, `,["`+path+`"]`
		}
		if _, err := io.WriteString(w, begin); err != nil {
			return
		}
		for range 100_000 { // 200 MB
			if _, err := io.WriteString(w, each); err != nil {
				return
			}
		}
	}})
	for name, call := range map[string]func() ([]byte, error){
		"changes": func() ([]byte, error) { return e.Changes(t.Context(), id) },
		"top":     func() ([]byte, error) { return e.Top(t.Context(), id) },
	} {
		data, err := call()
		if err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %d bytes and error %v, want that it is too long", name, len(data), err)
		}
	}
	// An answer of an ordinary length comes whole.
	small := start(t, &fake{version: "1.47", answer: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[`+strings.TrimSuffix(strings.Repeat(`{"Path":"/a","Kind":1},`, 10_000), ",")+`]`)
	}})
	if data, err := small.Changes(t.Context(), id); err != nil || strings.Count(string(data), "/a") != 10_000 {
		t.Errorf("an ordinary answer: %d bytes and error %v", len(data), err)
	}
}
