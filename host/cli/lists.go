package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// addressList says how the block list differs from the allow list.
type addressList struct {
	name   string // block or allow
	add    func(*control.Client) listChange
	remove func(*control.Client) listChange
	list   func(*control.Client) listPage
}

type (
	listChange func(context.Context, *ironpostv1.BlockRequest, ...grpc.CallOption) (*ironpostv1.BlockResponse, error)
	listPage   func(context.Context, *ironpostv1.ListBlocksRequest, ...grpc.CallOption) (*ironpostv1.ListBlocksResponse, error)
)

func (c *cli) blockCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "block",
		Short: "Block addresses, and see what is blocked",
		Long: `The packets of a blocked address or network are dropped in the kernel when the
mode is enforce; in simulate they are counted. An allowed address is never
blocked. Every block expires.`,
	}
	group(cmd)
	l := addressList{
		name:   "block",
		add:    func(h *control.Client) listChange { return h.AddBlock },
		remove: func(h *control.Client) listChange { return h.RemoveBlock },
		list:   func(h *control.Client) listPage { return h.ListBlocks },
	}
	cmd.AddCommand(c.listAddCmd(l), c.listRemoveCmd(l), c.listListCmd(l), c.blockImportCmd())
	return cmd
}

func (c *cli) allowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allow",
		Short: "Allow addresses: they are never blocked",
		Long: `The allow list wins over every block, whoever asked for it. Entries of the
configuration file are listed here and changed there.`,
	}
	group(cmd)
	l := addressList{
		name:   "allow",
		add:    func(h *control.Client) listChange { return h.AddAllow },
		remove: func(h *control.Client) listChange { return h.RemoveAllow },
		list:   func(h *control.Client) listPage { return h.ListAllows },
	}
	cmd.AddCommand(c.listAddCmd(l), c.listRemoveCmd(l), c.listListCmd(l), c.allowCheckCmd())
	return cmd
}

func (c *cli) listAddCmd(l addressList) *cobra.Command {
	var ttl, reason string
	cmd := &cobra.Command{
		Use:   "add ADDRESS...",
		Short: map[string]string{"block": "Block addresses or networks", "allow": "Allow addresses or networks"}[l.name],
		Long: `ADDRESS is an IPv4 or IPv6 address, or a network in CIDR notation. Nothing is sent
when one of them is wrong.`,
		Example: fmt.Sprintf(`  ironpost %[1]s add 192.0.2.7 --ttl 1h --reason 'ticket 4711'
  ironpost %[1]s add 198.51.100.0/24 2001:db8::/32`, l.name),
		Args: between(1, -1, "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := addresses(args, ttl, reason)
			if err != nil {
				return err
			}
			return c.changeList(cmd.Context(), l, "add", l.add, requests)
		},
	}
	ttlHelp := "how long it stays blocked, as 30m, 24h or 7d (default: what the host is configured to)"
	if l.name == "allow" {
		ttlHelp = "how long it stays allowed, as 24h or 7d (default: until it is removed)"
	}
	cmd.Flags().StringVar(&ttl, "ttl", "", ttlHelp)
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is shown in the list and kept in the audit log")
	return cmd
}

func (c *cli) listRemoveCmd(l addressList) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ADDRESS...",
		Short: map[string]string{"block": "Take addresses off the block list", "allow": "Take addresses off the allow list"}[l.name],
		Long: `Removes entries exactly as they are listed: removing 192.0.2.7 cuts no hole into
192.0.2.0/24.`,
		Example: fmt.Sprintf(`  ironpost %s remove 192.0.2.7`, l.name),
		Args:    between(1, -1, "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := addresses(args, "", "")
			if err != nil {
				return err
			}
			return c.changeList(cmd.Context(), l, "remove", l.remove, requests)
		},
	}
}

// addresses checks everything that was given before anything is sent.
func addresses(args []string, ttl, reason string) ([]*ironpostv1.BlockRequest, error) {
	var seconds float64
	if ttl != "" {
		d, err := parseSpan(ttl)
		if err != nil {
			return nil, fmt.Errorf("--ttl: %w", err)
		}
		if d == 0 {
			return nil, invalid("--ttl %s: it has to be longer than nothing", ttl)
		}
		seconds = d.Seconds()
	}
	out := make([]*ironpostv1.BlockRequest, 0, len(args))
	for _, arg := range args {
		p, err := control.ParsePrefix(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, &ironpostv1.BlockRequest{Prefix: p.String(), TtlSeconds: seconds, Reason: reason})
	}
	return out, nil
}

// changeList prints what became of each entry; the first that fails ends it.
func (c *cli) changeList(ctx context.Context, l addressList, verb string, pick func(*control.Client) listChange, requests []*ironpostv1.BlockRequest) error {
	return c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		done := make([]*ironpostv1.BlockResponse, 0, len(requests))
		for _, req := range requests {
			resp, err := pick(h)(ctx, req)
			if err != nil {
				return fmt.Errorf("%s %s %s: %w", l.name, verb, req.GetPrefix(), err)
			}
			if resp.Block == nil {
				resp.Block = &ironpostv1.Block{Prefix: req.GetPrefix()}
			}
			done = append(done, resp)
			if c.json() {
				continue
			}
			if err := c.line("%s", changeText(l.name, verb, resp)); err != nil {
				return err
			}
		}
		if c.json() {
			return list(c, done)
		}
		return nil
	})
}

func changeText(name, verb string, resp *ironpostv1.BlockResponse) string {
	b := resp.GetBlock()
	switch {
	case verb == "remove" && resp.GetChanged():
		return b.GetPrefix() + " is off the " + name + " list"
	case verb == "remove":
		return b.GetPrefix() + " was not on the " + name + " list"
	}
	text := b.GetPrefix() + " is on the " + name + " list"
	if !resp.GetChanged() {
		text = b.GetPrefix() + " was on the " + name + " list already"
	}
	if b.GetExpires() != nil {
		text += " until " + stamp(b.GetExpires())
	}
	if b.GetEffect() != "" {
		text += ": " + b.GetEffect()
	}
	return text
}

func (c *cli) listListCmd(l addressList) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: map[string]string{"block": "What is blocked", "allow": "What is allowed"}[l.name],
		Long: map[string]string{
			"block": `Lists every block with who asked for it, until when it lasts, how many packets it
stopped, and its effect: enforced, simulated, or why it has none.`,
			"allow": `Lists every allowed address and network with where it comes from.`,
		}[l.name],
		Example: fmt.Sprintf(`  ironpost %[1]s list
  ironpost %[1]s list -o json | jq -r '.[].prefix'`, l.name),
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				entries, err := allPages(ctx, l.list(h))
				if err != nil {
					return fmt.Errorf("%s list: %w", l.name, err)
				}
				return c.showList(l, entries)
			})
		},
	}
}

// allPages asks until it has everything.
func allPages(ctx context.Context, page listPage) ([]*ironpostv1.Block, error) {
	var all []*ironpostv1.Block
	for {
		resp, err := page(ctx, &ironpostv1.ListBlocksRequest{Limit: control.MaxPage, Skip: uint32(len(all))})
		if err != nil {
			return nil, err
		}
		all = append(all, resp.GetBlocks()...)
		if len(resp.GetBlocks()) == 0 || uint64(len(all)) >= resp.GetTotal() {
			return all, nil
		}
	}
}

func (c *cli) showList(l addressList, entries []*ironpostv1.Block) error {
	if c.json() {
		return list(c, entries)
	}
	if l.name == "allow" {
		t := newTable("ADDRESS", "SOURCE", "SINCE", "EXPIRES", "REASON")
		for _, b := range entries {
			t.row(b.GetPrefix(), dash(b.GetSource()), stamp(b.GetCreated()), stamp(b.GetExpires()), dash(b.GetReason()))
		}
		return c.printTable(t, "nothing is allowed by name")
	}
	t := newTable("ADDRESS", "SOURCE", "SINCE", "EXPIRES", "HITS", "EFFECT", "ALERT", "REASON")
	for _, b := range entries {
		t.row(b.GetPrefix(), dash(b.GetSource()), stamp(b.GetCreated()), stamp(b.GetExpires()), count(b.GetHits()),
			dash(b.GetEffect()), dash(cut(b.GetAlertId(), 13)), dash(b.GetReason()))
	}
	return c.printTable(t, "nothing is blocked")
}

func (c *cli) allowCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check ADDRESS",
		Short: "Is an address allowed, blocked, or neither?",
		Long:  `Says what happens to the packets of an address, and because of which entry.`,
		Example: `  ironpost allow check 192.0.2.7
  ironpost allow check 192.0.2.7 -o json | jq -r .verdict`,
		Args: between(1, 1, "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := addresses(args, "", "")
			if err != nil {
				return err
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.CheckAddress(ctx, requests[0])
				if err != nil {
					return fmt.Errorf("allow check %s: %w", args[0], err)
				}
				if c.json() {
					return c.message(resp)
				}
				text := resp.GetPrefix() + " is " + resp.GetVerdict()
				if resp.GetVerdict() == "none" {
					text = resp.GetPrefix() + " is neither allowed nor blocked"
				}
				if resp.GetReason() != "" {
					text += ": " + resp.GetReason()
				}
				return c.line("%s", text)
			})
		},
	}
}
