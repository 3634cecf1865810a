package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Limits of a file with addresses.
const (
	maxImport     = 1 << 20 // entries
	maxImportLine = 4 << 10 // bytes
	maxShown      = 10      // wrong lines that are named
)

func (c *cli) blockImportCmd() *cobra.Command {
	var ttl, reason string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Block the addresses of a file",
		Long: `Reads one address or network a line; # and ; begin a comment. FILE - is standard
input. When a line is wrong nothing is sent; what the host refuses, because it is
allowed for example, is named and does not stop the others.`,
		Example: `  ironpost block import drop.txt --ttl 24h --reason spamhaus
  curl -s https://www.spamhaus.org/drop/drop.txt | ironpost block import - --ttl 24h`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addresses(nil, ttl, reason); err != nil {
				return err
			}
			prefixes, err := c.readAddresses(args[0])
			if err != nil {
				return err
			}
			requests, err := addresses(prefixes, ttl, reason)
			if err != nil {
				return err
			}
			return c.host(cmd.Context(), importTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := sendBlocks(ctx, h, requests)
				if err != nil {
					return fmt.Errorf("block import %s: %w", args[0], err)
				}
				return c.showImport(resp)
			})
		},
	}
	cmd.Flags().StringVar(&ttl, "ttl", "", "how long they stay blocked, as 24h or 7d (default: what the host is configured to)")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown in the list and kept in the audit log")
	return cmd
}

func (c *cli) readAddresses(path string) ([]string, error) {
	in := c.stdin
	if path != "-" {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, invalid("%s: no such file", path)
		}
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	prefixes, err := parseAddresses(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return prefixes, nil
}

// parseAddresses returns the prefixes of a file without repetitions. It names
// the first wrong lines; the errors wrap control.ErrInvalid unless reading itself
// fails.
func parseAddresses(r io.Reader) ([]string, error) {
	var out, wrong []string
	seen := make(map[string]bool)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxImportLine)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if i := strings.IndexAny(text, "#;"); i >= 0 {
			text = text[:i]
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := control.ParsePrefix(text)
		switch {
		case err != nil:
			if len(wrong) <= maxShown {
				wrong = append(wrong, fmt.Sprintf("line %d: %q", n, text))
			}
			continue
		case seen[p.String()]:
			continue
		case len(out) == maxImport:
			return nil, invalid("line %d: more than %d addresses; split the file", n, maxImport)
		}
		seen[p.String()] = true
		out = append(out, p.String())
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, invalid("line %d is longer than %d bytes; is this a list of addresses?", n+1, maxImportLine)
	} else if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		more := ""
		if len(wrong) > maxShown {
			wrong, more = wrong[:maxShown], ", and more"
		}
		return nil, invalid("no address or network (192.0.2.7, 192.0.2.0/24) on %s%s; nothing was imported", strings.Join(wrong, ", "), more)
	}
	return out, nil
}

func sendBlocks(ctx context.Context, h *control.Client, requests []*ironpostv1.BlockRequest) (*ironpostv1.ImportResponse, error) {
	stream, err := h.ImportBlocks(ctx)
	if err != nil {
		return nil, err
	}
	for len(requests) > 0 {
		n := min(len(requests), control.MaxBulk)
		if err := stream.Send(&ironpostv1.BlockChunk{Blocks: requests[:n]}); err != nil {
			break // CloseAndRecv says why
		}
		requests = requests[n:]
	}
	return stream.CloseAndRecv()
}

func (c *cli) showImport(resp *ironpostv1.ImportResponse) error {
	if c.json() {
		return c.message(resp)
	}
	for _, p := range resp.GetProblems() {
		if err := c.line("%s: %s", p.GetPrefix(), p.GetReason()); err != nil {
			return err
		}
	}
	return c.line("%d added, %d were blocked already, %d refused", resp.GetAdded(), resp.GetUnchanged(), resp.GetRefused())
}
