// Package nesting tells how deep the values of a document stand in one another,
// before a decoder that calls itself for each level is given it: Go ends a process
// whose stack grows past a bound, and nothing can catch that.
package nesting

// JSON returns where the text goes deeper than most, counted from 1, or 0. It looks
// at brackets outside of strings alone, and so does not tell whether it is JSON.
func JSON[T []byte | string](text T, most int) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > most {
				return i + 1
			}
		case '}', ']':
			depth = max(0, depth-1)
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return 0
}
