package pipeline

import (
	"bufio"
	"errors"
	"io"

	"github.com/ironpost/ironpost/sdk/event"
)

// documentFormat is the format whose records are JSON documents, each over as many
// lines as it likes, and not lines.
const documentFormat = "windows-event"

// readDocument returns the next JSON object of documents that follow each other,
// or that are a list, without the blanks between its parts. One that is longer is
// cut at MaxRecord, and the rest of it passed over. What is no object is returned as
// it is, up to the end of its line, for the parser to refuse.
func readDocument(r *bufio.Reader) (document []byte, cut bool, err error) {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return nil, false, err
		case isBlank(c), c == ',', c == '[', c == ']', c >= 0xbb:
			// Between documents; the last are the bytes of a byte order mark.
			continue
		}
		if err := r.UnreadByte(); err != nil {
			return nil, false, err
		}
		if c != '{' {
			return readLine(r)
		}
		break
	}
	depth, quoted, escaped := 0, false, false
	for {
		c, err := r.ReadByte()
		if err != nil {
			// What is left is no whole document.
			if errors.Is(err, io.EOF) && len(document) > 0 {
				return document, cut, nil
			}
			return document, cut, err
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case isBlank(c):
			continue
		case c == '"':
			quoted = true
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
		if len(document) < event.MaxRecord {
			document = append(document, c)
		} else {
			cut = true
		}
		if depth == 0 {
			return document, cut, nil
		}
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
