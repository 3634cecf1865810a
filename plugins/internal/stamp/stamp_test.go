package stamp

import (
	"testing"
	"time"
	_ "time/tzdata" // Zones are tested where the system has none.
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestLeading(t *testing.T) {
	var zones Zones
	berlin := zones.Location("Europe/Berlin")
	observed := at("2024-06-15T12:00:00Z")
	for _, tc := range []struct {
		name     string
		text     string
		observed time.Time
		location *time.Location
		want     string // "" for the zero time, "-" for no stamp
		rest     string
		inferred bool
	}{
		// RFC 5424 6.2.3.1 and RFC 3339 5.8.
		{name: "rfc 5424 example 1", text: "1985-04-12T23:20:50.52Z x", want: "1985-04-12T23:20:50.52Z", rest: " x"},
		{name: "rfc 5424 example 2", text: "1985-04-12T19:20:50.52-04:00", want: "1985-04-12T23:20:50.52Z"},
		{name: "rfc 5424 example 3", text: "2003-10-11T22:14:15.003Z", want: "2003-10-11T22:14:15.003Z"},
		{name: "rfc 5424 example 4", text: "2003-08-24T05:14:15.000003-07:00", want: "2003-08-24T12:14:15.000003Z"},
		{name: "rfc 3339 leap second", text: "1990-12-31T23:59:60Z", want: "1991-01-01T00:00:00Z"},
		{name: "ubuntu 24.04", text: "2024-10-31T12:38:21.817327+01:00 host", want: "2024-10-31T11:38:21.817327Z", rest: " host"},
		{name: "zone without colon", text: "2024-10-31T12:38:21+0100", want: "2024-10-31T11:38:21Z"},
		{name: "python logging", text: "2021-05-28 18:08:01,124 mantis", want: "2021-05-28T18:08:01.124Z", rest: " mantis", inferred: true},
		{name: "no zone, zone of the stream", text: "2024-07-01T12:00:00 x", location: berlin, want: "2024-07-01T10:00:00Z", rest: " x", inferred: true},
		{name: "more than nine digits", text: "2024-01-01T00:00:00.1234567899Z", want: "2024-01-01T00:00:00.123456789Z"},
		{name: "iso year 0000", text: "0000-06-14T15:16:01Z x", observed: observed, want: "2024-06-14T15:16:01Z", rest: " x", inferred: true},
		{name: "29 february of a leap year", text: "2024-02-29T00:00:00Z", want: "2024-02-29T00:00:00Z"},
		{name: "29 february of a common year", text: "2023-02-29T00:00:00Z", want: "-"},
		{name: "29 february 2100", text: "2100-02-29T00:00:00Z", want: "-"},
		{name: "month 13", text: "2024-13-01T00:00:00Z", want: "-"},
		{name: "day 0", text: "2024-01-00T00:00:00Z", want: "-"},
		{name: "hour 24", text: "2024-01-01T24:00:00Z", want: "-"},
		{name: "bad zone", text: "2024-01-01T00:00:00+9", want: "-"},
		{name: "zone of 24 hours", text: "2024-01-01T00:00:00+24:00", want: "-"},
		{name: "out of the range of nanoseconds", text: "9999-12-31T23:59:59Z", want: "-"},
		{name: "letters follow", text: "2024-01-01T00:00:00Zulu", want: "-"},

		// RFC 3164 4.1.2 and its relatives.
		{name: "rfc 3164", text: "Jun  5 15:16:01 combo", observed: observed, want: "2024-06-05T15:16:01Z", rest: " combo", inferred: true},
		{name: "two-digit day", text: "Jun 14 15:16:01 combo", observed: observed, want: "2024-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "one-digit day, one space", text: "Jun 5 15:16:01 combo", observed: observed, want: "2024-06-05T15:16:01Z", rest: " combo", inferred: true},
		{name: "zero-padded day", text: "Jun 05 15:16:01 combo", observed: observed, want: "2024-06-05T15:16:01Z", rest: " combo", inferred: true},
		{name: "fraction", text: "Jun 14 15:16:01.250 combo", observed: observed, want: "2024-06-14T15:16:01.25Z", rest: " combo", inferred: true},
		{name: "year before the time", text: "Jun 14 2019 15:16:01 combo", observed: observed, want: "2019-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "year after the time", text: "Jun 14 15:16:01 2019 combo", observed: observed, want: "2019-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "year first", text: "2019 Jun 14 15:16:01 combo", observed: observed, want: "2019-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "year 0000", text: "Jun 14 0000 15:16:01 combo", observed: observed, want: "2024-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "year 0000 after the time", text: "Jun 14 15:16:01 0000 combo", observed: observed, want: "2024-06-14T15:16:01Z", rest: " combo", inferred: true},
		{name: "numeric host is no year", text: "Jun 14 15:16:01 1234 combo", observed: observed, want: "2024-06-14T15:16:01Z", rest: " 1234 combo", inferred: true},
		{name: "zone of the stream", text: "Jun 14 15:16:01 combo", observed: observed, location: berlin, want: "2024-06-14T13:16:01Z", rest: " combo", inferred: true},
		{name: "nothing observed", text: "Jun 14 15:16:01 combo", want: "", rest: " combo", inferred: true},
		{name: "no such month", text: "Jux 14 15:16:01 combo", observed: observed, want: "-"},
		{name: "31 june", text: "Jun 31 15:16:01 combo", observed: observed, want: "-"},
		{name: "three-digit day", text: "Jun 141 15:16:01 combo", observed: observed, want: "-"},
		{name: "cut", text: "Jun 14 15:16:0", observed: observed, want: "-"},
		{name: "empty", text: "", want: "-"},

		// The year of a stamp without one.
		{name: "last second of today's allowance", text: "Jun 16 12:00:00 h", observed: observed, want: "2024-06-16T12:00:00Z", rest: " h", inferred: true},
		{name: "more than a day ahead is last year", text: "Jun 16 12:00:01 h", observed: observed, want: "2023-06-16T12:00:01Z", rest: " h", inferred: true},
		{name: "december read in january", text: "Dec 31 23:59:59 h", observed: at("2024-01-01T00:00:05Z"), want: "2023-12-31T23:59:59Z", rest: " h", inferred: true},
		{name: "january stamped by a clock that is ahead", text: "Jan  1 00:00:01 h", observed: at("2023-12-31T23:59:58Z"), want: "2024-01-01T00:00:01Z", rest: " h", inferred: true},
		{name: "29 february in a leap year", text: "Feb 29 10:00:00 h", observed: at("2024-03-01T00:00:00Z"), want: "2024-02-29T10:00:00Z", rest: " h", inferred: true},
		{name: "29 february read later", text: "Feb 29 10:00:00 h", observed: at("2026-08-01T00:00:00Z"), want: "2024-02-29T10:00:00Z", rest: " h", inferred: true},
		{name: "29 february across 2100", text: "Feb 29 10:00:00 h", observed: at("2103-08-01T00:00:00Z"), want: "2096-02-29T10:00:00Z", rest: " h", inferred: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := Leading(tc.text, Reference{Observed: tc.observed, Location: tc.location})
			if tc.want == "-" {
				if ok {
					t.Fatalf("got %v, want no stamp", got)
				}
				return
			}
			if !ok {
				t.Fatalf("got no stamp, want %s", tc.want)
			}
			var want time.Time
			if tc.want != "" {
				want = at(tc.want).UTC()
			}
			if !got.Time.Equal(want) {
				t.Errorf("time: got %s, want %s", got.Time, want)
			}
			if got.Time.Location() != time.UTC {
				t.Errorf("zone: got %s, want UTC", got.Time.Location())
			}
			if rest := tc.text[got.Len:]; rest != tc.rest {
				t.Errorf("rest: got %q, want %q", rest, tc.rest)
			}
			if got.Inferred != tc.inferred {
				t.Errorf("inferred: got %v, want %v", got.Inferred, tc.inferred)
			}
		})
	}
}

func TestEpoch(t *testing.T) {
	for text, want := range map[string]string{
		"1700000000":            "2023-11-14T22:13:20Z",
		"1700000000.123":        "2023-11-14T22:13:20.123Z",
		"1700000000.1234567899": "2023-11-14T22:13:20.123456789Z",
		"1700000000123":         "2023-11-14T22:13:20.123Z",
		"1700000000123.5":       "2023-11-14T22:13:20.1235Z",
		"1700000000123456":      "2023-11-14T22:13:20.123456Z",
		"1700000000123456789":   "2023-11-14T22:13:20.123456789Z",
		"1.7e9":                 "2023-11-14T22:13:20Z",
		"0":                     "1970-01-01T00:00:00Z",
	} {
		got, ok := Epoch(text)
		if !ok || !got.Equal(at(want)) {
			t.Errorf("Epoch(%q): got %s, %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "x", "1.", ".5", "1700000000x", "99999999999999999999", "1e30", "9999999999" /* the year 2286 */, "1e"} {
		if got, ok := Epoch(text); ok {
			t.Errorf("Epoch(%q): got %s, want none", text, got)
		}
	}
	if got, ok := Microseconds("1700000000123456"); !ok || !got.Equal(at("2023-11-14T22:13:20.123456Z")) {
		t.Errorf("Microseconds: got %s, %v", got, ok)
	}
	if _, ok := Microseconds("-1"); ok {
		t.Errorf("Microseconds(-1): got a time, want none")
	}
}

func TestZones(t *testing.T) {
	var zones Zones
	for range 2 {
		for name, want := range map[string]string{"": "Local", "UTC": "UTC", "Asia/Tokyo": "Asia/Tokyo", "No/Such": "UTC"} {
			if got := zones.Location(name).String(); got != want {
				t.Errorf("Location(%q): got %s, want %s", name, got, want)
			}
		}
	}
}

func FuzzLeading(f *testing.F) {
	for _, seed := range []string{
		"Jun 14 15:16:01 combo", "Jun 14 15:16:01 2019 x", "2019 Jun  4 15:16:01 x", "Feb 29 00:00:00",
		"2024-10-31T12:38:21.817327+01:00", "0000-01-01 00:00:00,1", "1990-12-31T23:59:60Z", "2024-01-01T00:00:00+",
	} {
		f.Add(seed)
	}
	observed := at("2024-06-15T12:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		st, ok := Leading(text, Reference{Observed: observed})
		if !ok {
			return
		}
		if st.Len < 14 || st.Len > len(text) {
			t.Fatalf("length %d of %q", st.Len, text)
		}
		if st.Time.IsZero() || st.Time.Year() < minYear-1 || st.Time.Year() > maxYear+1 {
			t.Fatalf("time %s of %q", st.Time, text)
		}
		// What is strict RFC 3339 means the same as in the standard library.
		if want, err := time.Parse(time.RFC3339Nano, text[:st.Len]); err == nil && want.Year() > 0 && !want.Equal(st.Time) {
			t.Fatalf("%q: got %s, want %s", text, st.Time, want)
		}
	})
}

func BenchmarkLeading(b *testing.B) {
	var zones Zones
	observed := at("2024-06-15T12:00:00Z")
	for _, bc := range []struct{ name, text, zone string }{
		{"rfc3164", "Jun 14 15:16:01 combo sshd", "UTC"},
		{"rfc3164 of last year", "Aug 14 15:16:01 combo sshd", "UTC"},
		{"rfc3164 elsewhere", "Jun 14 15:16:01 combo sshd", "Europe/Berlin"},
		{"rfc3164 elsewhere in winter", "Jan 14 15:16:01 combo sshd", "Europe/Berlin"},
		{"rfc3339", "2024-10-31T12:38:21.817327+01:00 host", "UTC"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ref := Reference{Observed: observed}
				zones.Locate(&ref, bc.zone)
				ref.Leading(bc.text)
			}
		})
	}
}
