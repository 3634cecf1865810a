package stamp

import (
	"testing"
	"time"
)

func TestAny(t *testing.T) {
	observed := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	at := func(y int, mo time.Month, d, h, mi, s, ns int) time.Time {
		return time.Date(y, mo, d, h, mi, s, ns, time.UTC)
	}
	for _, c := range []struct {
		text     string
		want     time.Time
		n        int
		inferred bool
	}{
		{"24/Jan/2022:16:51:02 +0100] x", at(2022, 1, 24, 15, 51, 2, 0), 26, false},
		{"24/Jan/2022:16:51:02] x", at(2022, 1, 24, 16, 51, 2, 0), 20, true},
		{"2022/01/24 16:33:06 [error]", at(2022, 1, 24, 16, 33, 6, 0), 19, true},
		{"2022/01/24 16:33:06.5 x", at(2022, 1, 24, 16, 33, 6, 5e8), 21, true},
		{"Sun Dec 04 04:47:44 2005] [", at(2005, 12, 4, 4, 47, 44, 0), 24, true},
		{"Sat Oct 01 10:00:00.123456 2022] [", at(2022, 10, 1, 10, 0, 0, 123456000), 31, true},
		{"Sat Jan  2 10:11:12 2021", at(2021, 1, 2, 10, 11, 12, 0), 24, true},
		{"Sat Jan  2 10:11:12 x and more", at(2025, 1, 2, 10, 11, 12, 0), 19, true},
		{"06-May-2024 07:08:12.345 x", at(2024, 5, 6, 7, 8, 12, 345e6), 24, true},
		{"2024-05-06 07:08:12.345 UTC [1]", at(2024, 5, 6, 7, 8, 12, 345e6), 27, false},
		{"2024-05-06 07:08:12.345 UTCX [1]", at(2024, 5, 6, 7, 8, 12, 345e6), 23, true},
		{"2023-03-12 11:17:28 CET [1]", at(2023, 3, 12, 11, 17, 28, 0), 19, true},
		{"230312 11:17:28 [Warning]", at(2023, 3, 12, 11, 17, 28, 0), 15, true},
		{"2023-03-12T11:17:28Z 3", at(2023, 3, 12, 11, 17, 28, 0), 20, false},
		{"Dec 10 06:55:46 h", at(2024, 12, 10, 6, 55, 46, 0), 15, true},
		{"32/Jan/2022:16:51:02 +0100", time.Time{}, 0, false},
		{"24/Xan/2022:16:51:02 +0100", time.Time{}, 0, false},
		{"12-Xar-2023 11:17:28.425 x", time.Time{}, 0, false},
		{"Sat Jan  2 10:11", time.Time{}, 0, false},
		{"2022/13/24 16:33:06", time.Time{}, 0, false},
		{"hello, world, and more", time.Time{}, 0, false},
		{"", time.Time{}, 0, false},
	} {
		r := Reference{Observed: observed}
		got, n, inferred := r.Any(c.text)
		if !got.Equal(c.want) || n != c.n || n > 0 && inferred != c.inferred {
			t.Errorf("%q: got %s, %d, %v; want %s, %d, %v", c.text, got, n, inferred, c.want, c.n, c.inferred)
		}
	}
}

func FuzzAny(f *testing.F) {
	for _, s := range []string{"24/Jan/2022:16:51:02 +0100]", "2022/01/24 16:33:06 [", "Sun Dec 04 04:47:44.1 2005]", "06-May-2024 07:08:12.345", "2024-05-06 07:08:12.345 UTC", "230312 11:17:28"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := Reference{Observed: time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)}
		at, n, _ := r.Any(s)
		if n < 0 || n > len(s) || n > 0 && at.IsZero() {
			t.Fatalf("%q: got %s, %d", s, at, n)
		}
	})
}
