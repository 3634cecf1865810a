package suite

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ScannerConfig says how to check a scanner.
type ScannerConfig struct {
	Host HostConfig
	// Targets are what it can scan.
	Targets []string
	// Finds is how many alerts and packages it tells by itself at least, when it
	// looks by itself; 0 when that is not known.
	Finds int
}

// Scanner returns the checks of a scanner: a target gives a document in a named
// format, what is no target gives an error and no death, and what it finds by itself
// comes as the host can take it.
func Scanner(target Target, c ScannerConfig) []Check {
	begin := func(tb TB) *Host {
		tb.Helper()
		h := Start(tb, target, c.Host)
		h.hasKind("scanner")
		return h
	}
	return append([]Check{
		{
			Name: "scanner.targets", Title: "scans its targets and stays responsive",
			Wanted: "each sample target gives a document that is not empty, in a named format, while Health answers within 1 s",
			Mend:   "send format with the first part of the document; answer Health on another thread",
			run: func(tb TB) string {
				if len(c.Targets) == 0 {
					return "no sample target was given"
				}
				h := begin(tb)
				for _, scanned := range c.Targets {
					h.healthWhile(func() {
						format, document, err := h.scan(scanned)
						if err != nil || format == "" || len(document) == 0 {
							tb.Errorf("scan %s: format %q, %d bytes, error %v", scanned, format, len(document), err)
						}
					})
				}
				return ""
			},
		},
		{
			Name: "scanner.hostile", Title: "survives what is no target",
			Wanted: "a target that does not exist or makes no sense gives an error or an empty document, and the plugin lives",
			Mend:   "return an error from Scan; do not pass the target to a shell",
			run: applied(func(tb TB) {
				h := begin(tb)
				for _, hostile := range []string{"", "\x01", "/nonexistent/target", "-rf", "../../../.."} {
					_, _, _ = h.scan(hostile) // an error or an empty document: either will do
					h.Health()
				}
			}),
		},
	}, watcher(target, c)...)
}

func (h *Host) scan(target string) (format string, document []byte, err error) {
	ctx, cancel := context.WithTimeout(h.tb.Context(), patience)
	defer cancel()
	stream, err := pb.NewScannerClient(h.conn).Scan(ctx, &pb.ScanRequest{Target: target})
	if err != nil {
		return "", nil, fmt.Errorf("call Scan: %w", err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return format, document, nil
		}
		if err != nil {
			return "", nil, err
		}
		if r.Format != "" {
			format = r.Format
		}
		document = append(document, r.Document...)
	}
}
