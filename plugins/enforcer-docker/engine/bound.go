package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Bounds of answers, in bytes. The client holds an answer in memory as a whole, and
// then what it says, and a container decides how long some are: how many files it
// changed, and by which names, and how many processes it has with which arguments.
const (
	maxAnswer = 64 << 20
	maxListed = 16 << 20
)

// errAnswer is of an answer that is longer than is read.
var errAnswer = errors.New("the answer is too long")

// bound ends an answer that is longer than is read, but for those that are read bit by
// bit: logs, events and exports.
func bound(r *http.Request, resp *http.Response) {
	most := int64(maxAnswer)
	switch last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; last {
	case "logs", "events", "export":
		return
	case "changes", "top":
		most = maxListed
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: most, most: most}
}

// bounded is a body that fails past its bound.
type bounded struct {
	io.ReadCloser
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errAnswer, b.most)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n - 1, fmt.Errorf("%w: more than %d bytes", errAnswer, b.most)
	}
	return n, err
}
