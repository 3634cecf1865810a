package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// firstPage is how many entries are asked for first: a list is shown from its
// first lines on as soon as those are there.
const firstPage = 500

func (c *cli) listListCmd(l addressList) *cobra.Command {
	req := &ironpostv1.ListBlocksRequest{}
	most := uint32(0)
	cmd := &cobra.Command{
		Use:   "list",
		Short: map[string]string{"block": "What is blocked", "allow": "What is allowed"}[l.name],
		Long: map[string]string{
			"block": `Lists every block with who asked for it, until when it lasts, how many packets it
stopped, and its effect: enforced, simulated, or why it has none. IPv4 comes before
IPv6, in the order of the addresses. A page begins --after the last address of the
page before.`,
			"allow": `Lists every allowed address and network with where it comes from.`,
		}[l.name],
		Example: fmt.Sprintf(`  ironpost %[1]s list
  ironpost %[1]s list --prefix 192.0.2.0/24
  ironpost %[1]s list --limit 1000 --after 198.51.100.0/24
  ironpost %[1]s list --limit 1000 -o json | jq -r '.[-1].prefix'   the next --after
  ironpost %[1]s list --count`, l.name),
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, value := range map[string]*string{"after": &req.After, "prefix": &req.Within} {
				if *value == "" {
					continue
				}
				p, err := control.ParsePrefix(*value)
				if err != nil {
					return fmt.Errorf("--%s: %w", name, err)
				}
				*value = p.String()
			}
			if cmd.Flags().Changed("limit") && most == 0 {
				return usage(cmd, "--limit 0: it has to be 1 or more")
			}
			return c.host(cmd.Context(), 0, func(ctx context.Context, h *control.Client) error {
				show := &listShow{c: c, l: l, page: l.list(h), req: req, left: most}
				if err := show.run(ctx); err != nil {
					return fmt.Errorf("%s list: %w", l.name, err)
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.Uint32Var(&most, "limit", 0, "show so many at most (default: all)")
	flags.StringVar(&req.After, "after", "", "show what comes after this address or network")
	flags.StringVar(&req.Within, "prefix", "", "show what lies in this network, and what contains it")
	flags.StringVar(&req.Source, "source", "", "show what this source asked for, as operator or enforcer-xdp")
	flags.BoolVar(&req.Count, "count", false, "print only how many there are")
	if l.name == "block" {
		flags.StringVar(&req.List, "list", "", "show what is on this imported list")
	}
	return cmd
}

// listShow prints a list page by page.
type listShow struct {
	c    *cli
	l    addressList
	page listPage
	req  *ironpostv1.ListBlocksRequest
	left uint32 // still to be shown; 0 is all

	shown  bool
	widths []int
}

func (s *listShow) run(ctx context.Context) error {
	if s.req.Count {
		return s.count(ctx)
	}
	s.req.Limit = firstPage
	if s.c.json() {
		s.req.Limit = control.MaxPage
	}
	for {
		if s.left > 0 {
			s.req.Limit = min(s.req.Limit, s.left)
		}
		resp, err := s.next(ctx)
		if err != nil {
			return err
		}
		if err := s.print(resp.GetBlocks()); err != nil {
			return err
		}
		if n := uint32(len(resp.GetBlocks())); s.left > 0 { //nolint:gosec // at most MaxPage
			if s.left -= min(n, s.left); s.left == 0 {
				break
			}
		}
		if resp.GetNext() == "" {
			break
		}
		s.req.After, s.req.Limit = resp.GetNext(), control.MaxPage
	}
	return s.end()
}

// next asks for one page, for which the host has the time of a reading verb.
func (s *listShow) next(ctx context.Context) (*ironpostv1.ListBlocksResponse, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, fmt.Errorf("no answer within %v: %w", readTimeout, context.DeadlineExceeded))
	defer cancel()
	return s.page(ctx, s.req)
}

func (s *listShow) count(ctx context.Context) error {
	s.req.After = ""
	resp, err := s.next(ctx)
	if err != nil {
		return err
	}
	if s.c.json() {
		return s.c.value(map[string]uint64{"count": resp.GetTotal()})
	}
	return s.c.line("%d", resp.GetTotal())
}

func (s *listShow) print(entries []*ironpostv1.Block) error {
	if len(entries) == 0 {
		return nil
	}
	first := !s.shown
	s.shown = true
	if s.c.json() {
		out := make([]byte, 0, len(entries)*300)
		for i, b := range entries {
			out = append(out, map[bool]string{true: "[\n  ", false: ",\n  "}[first && i == 0]...)
			out = view.AppendIndented(out, view.AppendMessage(nil, b), 1)
		}
		return s.c.write(out)
	}
	t := &table{}
	if first {
		t = s.header()
	}
	for _, b := range entries {
		s.row(t, b)
	}
	s.widths = t.widen(s.widths)
	return s.c.write(t.bytes())
}

func (s *listShow) header() *table {
	if s.l.name == "allow" {
		return newTable("ADDRESS", "SOURCE", "SINCE", "EXPIRES", "REASON")
	}
	return newTable("ADDRESS", "ACTION", "SOURCE", "LIST", "SINCE", "EXPIRES", "HITS", "EFFECT", "ALERT", "REASON")
}

func (s *listShow) row(t *table, b *ironpostv1.Block) {
	if s.l.name == "allow" {
		t.row(b.GetPrefix(), dash(b.GetSource()), stamp(b.GetCreated()), stamp(b.GetExpires()), dash(b.GetReason()))
		return
	}
	t.row(b.GetPrefix(), blockAction(b), dash(b.GetSource()), dash(b.GetList()), stamp(b.GetCreated()), stamp(b.GetExpires()), count(b.GetHits()),
		dash(b.GetEffect()), dash(cut(b.GetAlertId(), 13)), dash(b.GetReason()))
}

// blockAction says what a block does to packets.
func blockAction(b *ironpostv1.Block) string {
	text := b.GetAction()
	if b.GetLimit() > 0 {
		text = fmt.Sprintf("limit %d/s", b.GetLimit())
	}
	if b.GetDryRun() {
		text += ", dry run"
	}
	return dash(text)
}

func (s *listShow) end() error {
	switch {
	case s.c.json() && s.shown:
		return s.c.write([]byte("\n]\n"))
	case s.c.json():
		return s.c.write([]byte("[]\n"))
	case s.shown:
		return nil
	}
	return s.c.line("%s", map[string]string{"block": "nothing is blocked", "allow": "nothing is allowed by name"}[s.l.name])
}

func (c *cli) blockListsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lists",
		Short: "The lists that were imported",
		Long:  `Lists what block import made: the name, how many networks, and until when they last.`,
		Example: `  ironpost block lists
  ironpost block lists -o json | jq -r '.[].name'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListBlockLists(ctx, &ironpostv1.BlockListsRequest{})
				if err != nil {
					return fmt.Errorf("block lists: %w", err)
				}
				if c.json() {
					return list(c, resp.GetLists())
				}
				t := newTable("LIST", "NETWORKS", "IMPORTED", "EXPIRES", "REASON")
				for _, l := range resp.GetLists() {
					t.row(l.GetName(), count(l.GetNetworks()), stamp(l.GetCreated()), stamp(l.GetExpires()), dash(l.GetReason()))
				}
				return c.printTable(t, "no list was imported")
			})
		},
	}
}

func (c *cli) removeBlockList(ctx context.Context, name string) error {
	return c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		l, err := h.RemoveBlockList(ctx, &ironpostv1.BlockListRequest{Name: name})
		if err != nil {
			return fmt.Errorf("block remove --list %s: %w", name, err)
		}
		if c.json() {
			return c.message(l)
		}
		return c.line("the list %s is gone: %d networks", l.GetName(), l.GetNetworks())
	})
}
