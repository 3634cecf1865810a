package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// importChunk is how many bytes of networks go to the host in one message.
const importChunk = 256 << 10

// blockImport is one run of block import.
type blockImport struct {
	c           *cli
	file        string
	options     *ironpostv1.ImportOptions
	skipInvalid bool
	progress    *importProgress
}

func (c *cli) blockImportCmd() *cobra.Command {
	b := &blockImport{c: c, options: &ironpostv1.ImportOptions{}}
	var ttl string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Block the addresses of a file, up to millions",
		Long: `Reads one address, network or range (192.0.2.0-192.0.2.63) a line; # and ; begin
a comment. FireHOL's netsets and Spamhaus's DROP lists, as text or as JSON lines,
are read as they are. FILE - is standard input.

All of it is done or, after an error, nothing: when the verb ends well, the blocks
are in force and on the disk. A line that is wrong stops it, unless --skip-invalid
is given. What may not be blocked, because it is allowed for example, is named and
left out.

With --list NAME the list NAME holds afterwards what the file says and nothing
else: what the file no longer has is taken off. Without it the addresses are added
to the list "import". Addresses that a list had already last as long as is said now.`,
		Example: `  ironpost block import drop.txt --list spamhaus --ttl 24h --reason 'Spamhaus DROP'
  curl -s https://www.spamhaus.org/drop/drop_v4.json | ironpost block import - --list drop --ttl 24h
  ironpost block import firehol_level1.netset --list firehol --dry-run
  ironpost block lists
  ironpost block remove --list spamhaus`,
		Args: between(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := ttlSeconds(ttl)
			if err != nil {
				return err
			}
			if b.options.List != "" {
				if err := control.CheckListName(b.options.List); err != nil {
					return fmt.Errorf("--list: %w", err)
				}
			}
			b.file, b.options.TtlSeconds = args[0], seconds
			return b.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&b.options.List, "list", "", "the list to make hold these addresses and no others (default: add them to \"import\")")
	flags.StringVar(&ttl, "ttl", "", "how long they stay blocked, as 24h or 7d (default 1h; at most [respond] max_ttl)")
	flags.StringVar(&b.options.Reason, "reason", "", "why; it is shown in the list and kept in the audit log")
	flags.BoolVar(&b.options.DryRun, "dry-run", false, "say what would be done, and do nothing")
	flags.BoolVar(&b.skipInvalid, "skip-invalid", false, "leave wrong lines out, and say which")
	return cmd
}

func (b *blockImport) run(ctx context.Context) error {
	in := b.c.stdin
	if b.file != "-" {
		f, err := os.Open(b.file)
		if errors.Is(err, os.ErrNotExist) {
			return invalid("%s: no such file", b.file)
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b.progress = b.c.startProgress()
	defer b.progress.stop()
	var networks control.Networks
	reader := newAddressReader(in, func(p netip.Prefix) error {
		networks.Add(p)
		b.progress.networks.Add(1)
		return nil
	})
	if err := reader.read(); err != nil {
		return fmt.Errorf("block import %s: %w", b.file, err)
	}
	if reader.wrong > 0 && !b.skipInvalid {
		return invalid("block import %s: no address or network (192.0.2.7, 192.0.2.0/24) on %s; nothing was imported; --skip-invalid leaves such lines out",
			b.file, reader.wrongLines())
	}
	// A download that failed must not end a list.
	if networks.Len() == 0 {
		return invalid("block import %s: no address is in it; nothing was imported; to end a list: ironpost block remove --list NAME", b.file)
	}
	b.progress.sent.Store(true)
	return b.c.host(ctx, importTimeout, func(ctx context.Context, h *control.Client) error {
		resp, err := b.send(ctx, h, networks)
		b.progress.stop()
		if err != nil {
			return fmt.Errorf("block import %s: %w", b.file, err)
		}
		resp.Skipped = uint64(reader.wrong) //nolint:gosec // it counts lines
		return b.show(resp, reader)
	})
}

// send sends networks in chunks. The last chunk has their number, without which
// the host does nothing.
func (b *blockImport) send(ctx context.Context, h *control.Client, networks control.Networks) (*ironpostv1.ImportResponse, error) {
	stream, err := h.ImportBlocks(ctx)
	if err != nil {
		return nil, err
	}
	chunk, left := &ironpostv1.BlockChunk{Options: b.options}, networks
	for {
		chunk.V4, chunk.V6, left = left.Cut(importChunk)
		last := left.Len() == 0
		if last {
			chunk.Total = uint64(networks.Len()) //nolint:gosec // it counts networks
		}
		if err := stream.Send(chunk); err != nil || last {
			return stream.CloseAndRecv() // it says why the host has answered early
		}
		chunk = &ironpostv1.BlockChunk{}
	}
}

func (b *blockImport) show(resp *ironpostv1.ImportResponse, reader *addressReader) error {
	if resp.GetSkipped() > 0 {
		fmt.Fprintln(b.c.stderr, view.Printable(fmt.Sprintf("ironpost: %d lines were left out: %s", resp.GetSkipped(), reader.wrongLines())))
	}
	if b.c.json() {
		return b.c.message(resp)
	}
	for _, p := range resp.GetProblems() {
		if err := b.c.line("%s: %s", p.GetPrefix(), p.GetReason()); err != nil {
			return err
		}
	}
	if more := resp.GetRefused() - uint64(len(resp.GetProblems())); more > 0 {
		if err := b.c.line("and %d more that were refused", more); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%d added, %d were blocked already, %d refused", resp.GetAdded(), resp.GetUnchanged(), resp.GetRefused())
	if resp.GetRemoved() > 0 {
		text += fmt.Sprintf(", %d taken off", resp.GetRemoved())
	}
	if resp.GetDryRun() {
		text = "dry run, nothing was done: " + text
	}
	if err := b.c.line("%s", text); err != nil {
		return err
	}
	l := resp.GetList()
	if l.GetName() == "" {
		return nil
	}
	return b.c.line("list %s: %d networks until %s", l.GetName(), l.GetNetworks(), stamp(l.GetExpires()))
}

// importProgress shows on a terminal how far an import is, when it takes longer
// than a moment.
type importProgress struct {
	networks atomic.Int64
	sent     atomic.Bool
	once     sync.Once
	quit     chan struct{}
	done     chan struct{}
}

// When progress is shown for the first time, and how often then.
const (
	progressDelay = 500 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

// startProgress begins to show progress, where standard error is a terminal.
func (c *cli) startProgress() *importProgress {
	p := &importProgress{quit: make(chan struct{}), done: make(chan struct{})}
	out, ok := c.stderr.(*os.File)
	if !ok || c.json() || !terminal(out) {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		start := time.Now()
		timer := time.NewTimer(progressDelay)
		defer timer.Stop()
		shown := false
		for {
			select {
			case <-p.quit:
				if shown {
					fmt.Fprint(out, "\r\x1b[K")
				}
				return
			case <-timer.C:
			}
			shown = true
			fmt.Fprintf(out, "\r\x1b[K%s", p.line(time.Since(start)))
			timer.Reset(progressEvery)
		}
	}()
	return p
}

// line says how far it is.
func (p *importProgress) line(since time.Duration) string {
	text := fmt.Sprintf("%d networks read", p.networks.Load())
	if p.sent.Load() {
		text += ", the host puts them in force"
	}
	return fmt.Sprintf("%s (%.1fs)", text, since.Seconds())
}

// stop ends it; it may be called again.
func (p *importProgress) stop() {
	p.once.Do(func() { close(p.quit) })
	<-p.done
}
