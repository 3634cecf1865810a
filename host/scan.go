package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ScanConfig says what to scan.
type ScanConfig struct {
	Sources
	// Target is what a person named; Against, when set, what it is compared with. Each is
	// a path, or the name of a container or an image.
	Target, Against string
	// Paths are those of the two that are files or folders. The scanner may read
	// them, and nothing else.
	Paths []string
	// Document is the form that is wanted, "" the scanner's own.
	Document string
	// Epoch is the time that the document says it was written at, as in SOURCE_DATE_EPOCH:
	// seconds since 1970; "" is now.
	Epoch string
	// Platform says which of an image's is meant, as OS/ARCH; "" is that of the machine.
	Platform string
	Stdout   io.Writer
	Stderr   io.Writer
	Progress func(text string)
}

// Scan has a scanner inspect a target, without a running host, and writes its
// document to c.Stdout.
func Scan(ctx context.Context, c ScanConfig) error {
	return withScanner(ctx, c.Sources, c.Paths, c.Stderr, func(conn *link.Conn) error {
		_, err := conn.Scan(ctx, &pb.ScanRequest{Target: c.Target, Document: c.Document, Against: c.Against, Epoch: c.Epoch, Platform: c.Platform}, c.Progress, c.Stdout)
		return err
	})
}

// AdvisoriesConfig says what to do with a scanner's advisories.
type AdvisoriesConfig struct {
	Sources
	// Import holds the files and folders to take over; empty asks what there is.
	Import   []string
	Stdout   io.Writer
	Stderr   io.Writer
	Progress func(text string)
}

// Advisories imports advisories into a scanner's own database, or describes it,
// and writes the scanner's document to c.Stdout.
func Advisories(ctx context.Context, c AdvisoriesConfig) error {
	request := &pb.AdvisoriesRequest{Action: pb.AdvisoriesRequest_ACTION_STATUS}
	if len(c.Import) > 0 {
		request.Action = pb.AdvisoriesRequest_ACTION_IMPORT
	}
	var paths []string
	for _, p := range c.Import {
		absolute, err := filepath.Abs(p)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		paths = append(paths, absolute)
	}
	request.Sources = paths
	return withScanner(ctx, c.Sources, paths, c.Stderr, func(conn *link.Conn) error {
		return conn.Advisories(ctx, request, c.Progress, c.Stdout)
	})
}

// withScanner runs the first scanner that is enabled, by name, which may read paths,
// and keeps what it keeps where a host's would. One that keeps no advisories is passed
// over when it is asked for them.
func withScanner(ctx context.Context, s Sources, paths []string, stderr io.Writer, use func(*link.Conn) error) error {
	isScanner := func(d *pb.Description) bool { return slices.Contains(d.Kinds, "scanner") }
	o, err := openOffline(ctx, offlineConfig{
		Sources: s, stderr: stderr, alert: nobody, want: isScanner, ownData: true,
		flags: func(d *pb.Description) []config.Flag {
			if !isScanner(d) || !slices.ContainsFunc(d.Config, func(f *pb.ConfigField) bool { return f.Key == scannedKey }) {
				return nil
			}
			return []config.Flag{{Name: "PATH", Key: d.Section + "." + scannedKey, Value: paths}}
		},
	})
	if err != nil {
		return err
	}
	defer o.close(ctx)
	found := o.roster.Find(isScanner)
	if len(found) == 0 {
		return fmt.Errorf("%w: no scanner is enabled; ironpost plugin list shows the candidates and what is wrong with them", ErrInvalid)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		// One that keeps no advisories has written nothing.
		if err = use(found[name]); !errors.Is(err, link.ErrNoAdvisories) {
			break
		}
	}
	if err != nil {
		return err
	}
	return o.roster.Failed()
}

// scannedKey is the key of a scanner's section that names what it may read.
const scannedKey = "paths"
