package nesting

import "strings"

// XML returns where the elements of the text go deeper than most, counted from 1, or 0. A
// text that breaks the rules of XML may have any depth behind the place where it does.
func XML(text string, most int) int {
	depth, size := 0, len(text)
	for {
		at := strings.IndexByte(text, '<')
		if at < 0 {
			return 0
		}
		text = text[at:]
		end := ">"
		switch {
		case strings.HasPrefix(text, "<!--"):
			text, end = text[4:], "-->"
		case strings.HasPrefix(text, "<![CDATA["):
			end = "]]>"
		case strings.HasPrefix(text, "<?"):
			end = "?>"
		case strings.HasPrefix(text, "</"):
			depth = max(0, depth-1)
		case strings.HasPrefix(text, "<!"):
		default:
			if depth++; depth > most {
				return size - len(text) + 1
			}
			i := 1
			for i < len(text) && text[i] != '>' && text[i] != '<' {
				if text[i] == '"' || text[i] == '\'' {
					next := strings.IndexByte(text[i+1:], text[i])
					if next < 0 {
						return 0
					}
					i += next + 1
				}
				i++
			}
			if i < len(text) && text[i-1] == '/' {
				depth = max(0, depth-1)
			}
			text = text[i:]
			continue
		}
		at = strings.Index(text, end)
		if at < 0 {
			return 0
		}
		text = text[at+len(end):]
	}
}
