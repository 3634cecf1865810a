package engine

import (
	"context"
	"io"
)

// ExportCall is the call that Export makes, which is granted only where the
// configuration asks for it.
const ExportCall = "GET /containers/*/export"

// Export streams the files of a container as a tar archive, of a running one as they
// are meanwhile. It ends when ctx does; the caller closes it.
func (e *Engine) Export(ctx context.Context, id string) (io.ReadCloser, error) {
	out, err := e.api().ContainerExport(ctx, id)
	if err != nil {
		return nil, wrap("export "+Short(id), err)
	}
	return out, nil
}
