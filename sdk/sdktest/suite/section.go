package suite

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// defaultOf returns the default of a key, which is described in the form that the
// environment would give, in the form that a section has.
func defaultOf(f *pb.ConfigField) (any, error) {
	text := f.Default
	switch f.Type {
	case pb.ConfigField_TYPE_STRING:
		return text, nil
	case pb.ConfigField_TYPE_INT:
		if text == "" {
			return 0, nil
		}
		return strconv.ParseInt(text, 10, 64)
	case pb.ConfigField_TYPE_BOOL:
		if text == "" {
			return false, nil
		}
		return strconv.ParseBool(text)
	case pb.ConfigField_TYPE_FLOAT:
		if text == "" {
			return 0.0, nil
		}
		return strconv.ParseFloat(text, 64)
	case pb.ConfigField_TYPE_DURATION:
		if text == "" {
			text = "0s"
		}
		_, err := time.ParseDuration(text)
		return text, err
	case pb.ConfigField_TYPE_SIZE:
		return parseSize(text)
	case pb.ConfigField_TYPE_STRINGS:
		out := []string{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		return out, nil
	case pb.ConfigField_TYPE_MAP:
		out := map[string]string{}
		for part := range strings.SplitSeq(text, ",") {
			k, v, ok := strings.Cut(part, "=")
			if ok {
				out[strings.TrimSpace(k)] = strings.TrimSpace(v)
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("type %v is unknown", f.Type)
}

// parseSize reads a number of bytes.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number := strings.TrimRight(text, "BKMGTiI")
	factor := int64(1)
	switch unit := text[len(number):]; unit {
	case "", "B":
	case "KiB", "K":
		factor = 1 << 10
	case "MiB", "M":
		factor = 1 << 20
	case "GiB", "G":
		factor = 1 << 30
	case "TiB", "T":
		factor = 1 << 40
	case "KB":
		factor = 1e3
	case "MB":
		factor = 1e6
	case "GB":
		factor = 1e9
	case "TB":
		factor = 1e12
	default:
		return 0, errors.New("size unit " + unit + " is unknown")
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	return n * factor, err
}
