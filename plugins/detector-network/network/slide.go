package network

import "slices"

// counts are what a window holds of one of its steps.
type counts[T any] interface {
	*T
	at() int64 // the step's number
	add(one T)
}

// slide adds counts to a window, whose steps are in rising order, and drops the
// steps before first. Counts that lie before it are left out.
func slide[T any, P counts[T]](window []T, one T, first int64) []T {
	if at := P(&one).at(); at >= first {
		i := len(window)
		for i > 0 && P(&window[i-1]).at() > at {
			i--
		}
		if i > 0 && P(&window[i-1]).at() == at {
			P(&window[i-1]).add(one)
		} else {
			window = slices.Insert(window, i, one)
		}
	}
	gone := 0
	for gone < len(window) && P(&window[gone]).at() < first {
		gone++
	}
	return append(window[:0], window[gone:]...)
}
