package stamp

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// expected completes the date and time of a reading in UTC as the package
// documents it, with time.Date alone.
func expected(reading, observed time.Time, location *time.Location) (time.Time, bool) {
	latest := observed.Add(Ahead)
	for year := latest.In(location).Year(); year > latest.Year()-10 && year >= minYear; year-- {
		t := time.Date(year, reading.Month(), reading.Day(), reading.Hour(), reading.Minute(), reading.Second(), 0, location)
		leapDay := reading.Month() == time.February && reading.Day() == 29
		if leapDay && time.Date(year, time.February, 29, 0, 0, 0, 0, time.UTC).Day() != 29 {
			continue
		}
		if year <= maxYear && !t.After(latest) {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// TestZonesAndYears reads stamps near changes of the clocks, near the ends of
// years and far from both, in zones that change their clocks in every way there
// is, as they are observed near such times.
func TestZonesAndYears(t *testing.T) {
	var zones Zones
	r := rand.New(rand.NewPCG(3, 7))
	near := func(at time.Time, days int) time.Time {
		return at.Add(time.Duration(r.Int64N(int64(days)*2*86400)-int64(days)*86400) * time.Second)
	}
	for _, name := range []string{
		"UTC", "Etc/GMT+12", "Pacific/Kiritimati", "Asia/Kathmandu", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Sao_Paulo",
		"Africa/Casablanca", "Asia/Gaza", "Antarctica/Troll", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "",
	} {
		location := zones.Location(name)
		for range 20_000 {
			// Those to come follow a rule, those of the past a table.
			observed := time.Date(1971+r.IntN(289), time.January, 1, 0, 0, r.IntN(366*86400), r.IntN(2)*5, location)
			switch r.IntN(3) {
			case 0:
				if _, end := observed.ZoneBounds(); !end.IsZero() {
					observed = near(end, 3)
				}
			case 1:
				observed = near(time.Date(observed.Year(), time.December, 31, 0, 0, 0, 0, location), 3)
			}
			stamped := observed
			switch r.IntN(4) {
			case 0:
				stamped = near(observed, 2)
			case 1:
				stamped = near(observed, 400)
			case 2:
				stamped = observed.Add(Ahead + time.Duration(r.IntN(5)-2)*time.Second)
			case 3:
				if start, _ := observed.ZoneBounds(); !start.IsZero() {
					stamped = start.Add(time.Duration(r.IntN(6*3600)-3*3600) * time.Second)
				}
			}
			text := stamped.In(location).Format(time.Stamp)
			if r.IntN(20) == 0 {
				text = "Feb 29" + text[6:]
			}
			reading, err := time.Parse("2006 "+time.Stamp, "2000 "+text)
			if err != nil {
				t.Fatal(err)
			}
			want, wantOK := expected(reading, observed, location)

			ref := Reference{Observed: observed}
			zones.Locate(&ref, name)
			got, n, inferred := ref.Leading(text)
			if (n > 0) != wantOK || wantOK && (got != want || n != len(text) || !inferred) {
				t.Fatalf("%s: %q, observed %s: got %s, %d, %v, want %s, %v", name, text, observed, got, n, inferred, want, wantOK)
			}
			plain, ok := Leading(text, Reference{Observed: observed, Location: location})
			if ok != wantOK || plain.Time != want {
				t.Fatalf("%s: %q, observed %s: without Locate: got %v, %v, want %s, %v", name, text, observed, plain, ok, want, wantOK)
			}
		}
	}
}

// TestLocateConcurrently shares one Zones, in every goroutine at another time of
// observation, so that each span pushes another out.
func TestLocateConcurrently(t *testing.T) {
	var zones Zones
	var running sync.WaitGroup
	for _, tc := range []struct{ zone, observed, want string }{
		{"Europe/Berlin", "2024-06-15T12:00:00Z", "2024-06-14T13:16:01Z"},
		{"Europe/Berlin", "2023-12-15T12:00:00Z", "2023-06-14T13:16:01Z"},
		{"Asia/Tokyo", "2024-06-15T12:00:00Z", "2024-06-14T06:16:01Z"},
		{"UTC", "2021-01-01T00:00:00Z", "2020-06-14T15:16:01Z"},
		{"UTC", "2022-01-01T00:00:00Z", "2021-06-14T15:16:01Z"},
	} {
		running.Go(func() {
			for range 2000 {
				ref := Reference{Observed: at(tc.observed)}
				zones.Locate(&ref, tc.zone)
				if got, _, _ := ref.Leading("Jun 14 15:16:01 h"); !got.Equal(at(tc.want)) {
					t.Errorf("%s, observed %s: got %s, want %s", tc.zone, tc.observed, got, tc.want)
					return
				}
			}
		})
	}
	running.Wait()
}

// TestDays counts the days one by one.
func TestDays(t *testing.T) {
	want := int32(0)
	for at := time.Date(minYear, time.January, 1, 0, 0, 0, 0, time.UTC); at.Year() <= maxYear; at = at.AddDate(0, 0, 1) {
		d := date{int32(at.Year()), int32(at.Month()), int32(at.Day())}
		if got := d.days(); got != want || !d.valid() {
			t.Fatalf("%s: got day %d, %v, want %d, true", at.Format(time.DateOnly), got, d.valid(), want)
		}
		want++
	}
}

// TestTimeOfDay takes every second of a day, and every byte in every place.
func TestTimeOfDay(t *testing.T) {
	midnight := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	for want := range int32(86_400) {
		text := midnight.Add(time.Duration(want) * time.Second).Format(time.TimeOnly)
		if got, ok := timeOfDay(text + " "); got != want || !ok {
			t.Fatalf("%s: got %d, %v, want %d", text, got, ok, want)
		}
	}
	for place := range 8 {
		for c := range 256 {
			text := []byte("12:34:56")
			text[place] = byte(c)
			_, err := time.Parse(time.TimeOnly, string(text))
			if string(text) == "12:34:60" {
				err = nil // a leap second, which package time does not know
			}
			if _, ok := timeOfDay(string(text)); ok != (err == nil) {
				t.Errorf("%q: got %v, want %v", text, ok, err == nil)
			}
		}
	}
}

// TestLocateAllocates shows that the span of a zone is found once for the times
// that it holds for.
func TestLocateAllocates(t *testing.T) {
	if testing.CoverMode() != "" {
		t.Skip("coverage instrumentation changes allocation")
	}
	var zones Zones
	observed := at("2024-06-15T12:00:00Z")
	for _, name := range []string{"UTC", "Europe/Berlin", ""} {
		if n := testing.AllocsPerRun(100, func() {
			for _, text := range []string{"Jun 14 15:16:01 h", "Jan 14 15:16:01 h", "Dec 14 15:16:01 h"} {
				ref := Reference{Observed: observed}
				zones.Locate(&ref, name)
				if _, n, _ := ref.Leading(text); n != 15 {
					t.Fatalf("%s: got no stamp", text)
				}
			}
		}); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, n)
		}
	}
}
