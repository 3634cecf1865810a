package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// DetailExport is the detail of an intent, with the value "true", that has the files
// of the container exported.
const DetailExport = "evidence_export"

// exported is the file with the files of a container.
const exported = "export.tar"

// wantsExport reports whether an intent asks for the files of its container.
func wantsExport(intent *event.ActionEvent) bool {
	for _, f := range intent.Details {
		if f.Key == DetailExport {
			return f.Value == "true"
		}
	}
	return false
}

// export streams the files of a container into a file of the folder, as far as the
// bounds go, and returns its SHA-256; "" when there is nothing. What is cut off, or
// cannot be had, it says in i.
func (s *Store) export(ctx context.Context, docker *engine.Engine, id, dir string, i *incident) (sum string, err error) {
	limited, cancel := context.WithTimeout(ctx, s.config.ExportTime)
	defer cancel()
	from, err := docker.Export(limited, id)
	if err != nil {
		i.Missing[exported] = bounded(err.Error())
		return "", nil
	}
	defer from.Close()
	f, err := os.OpenFile(filepath.Join(dir, exported), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	sha := sha256.New()
	to := &diskWriter{w: io.MultiWriter(f, sha)}
	n, err := io.Copy(to, io.LimitReader(from, s.config.ExportBytes))
	if err == nil && n == s.config.ExportBytes {
		var more [1]byte
		_, err = io.ReadFull(from, more[:])
		switch {
		case err == nil:
			i.cut(exported, fmt.Sprintf("there are more than %d bytes", n))
		case errors.Is(err, io.EOF):
			err = nil
		}
	}
	switch {
	case to.err != nil:
		return "", errors.Join(fmt.Errorf("write %s: %w", exported, to.err), f.Close())
	case err == nil:
	case errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		i.cut(exported, fmt.Sprintf("it took more than %s", s.config.ExportTime))
	default:
		i.cut(exported, "it broke off: "+bounded(err.Error()))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", exported, err)
	}
	return hex.EncodeToString(sha.Sum(nil)), nil
}

// diskWriter tells its own errors from those of what is copied to it.
type diskWriter struct {
	w   io.Writer
	err error
}

func (d *diskWriter) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	d.err = err
	return n, err
}
