package view

import "unicode/utf8"

// Shown returns JSON of others with the characters that act on a terminal instead of
// showing written as \uNNNN, which leaves its values as they are. raw has to be valid
// JSON; it is returned itself when it has none.
func Shown(raw []byte) []byte {
	var out []byte
	from := 0
	for i := 0; i < len(raw); {
		if raw[i] < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(raw[i:])
		if hidden(r) {
			out = appendUnit(append(out, raw[from:i]...), r)
			from = i + n
		}
		i += n
	}
	if from == 0 {
		return raw
	}
	return append(out, raw[from:]...)
}
