package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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
	cmd.AddCommand(c.listAddCmd(l), c.listRemoveCmd(l), c.listListCmd(l), c.blockImportCmd(), c.blockListsCmd(), c.blockRuleCmd())
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
	var ttl, reason, limit string
	what := &ironpostv1.BlockRequest{}
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
			if what.Limit, err = packetRate(limit); err != nil {
				return err
			}
			for _, r := range requests {
				r.Limit, r.Burst, r.Monitor, r.DryRun = what.Limit, what.Burst, what.Monitor, what.DryRun
			}
			return c.changeList(cmd.Context(), l, "add", l.add, requests)
		},
	}
	ttlHelp := "how long it stays blocked, as 30m, 24h or 7d (default 1h; at most [respond] max_ttl)"
	if l.name == "allow" {
		ttlHelp = "how long it stays allowed, as 24h or 7d (default: until it is removed)"
	}
	flags := cmd.Flags()
	flags.StringVar(&ttl, "ttl", "", ttlHelp)
	flags.StringVar(&reason, "reason", "", "why; it is shown in the list and kept in the audit log")
	if l.name == "block" {
		cmd.Long += `

With --limit only what each source sends over a rate is dropped, a source being an
IPv4 address or an IPv6 /64. Where entries contain each other the longest network
decides. Blocks by port or protocol are rules: ironpost block rule.`
		cmd.Example += "\n  ironpost block add 203.0.113.0/24 --limit 100/s --burst 200 --ttl 10m"
		flags.StringVar(&limit, "limit", "", "let each source send so many packets a second, as 100/s")
		flags.Uint32Var(&what.Burst, "burst", 0, "with --limit, how many packets may come at once (default: a tenth of a second's)")
		flags.BoolVar(&what.Monitor, "monitor", false, "drop nothing, count the packets")
		flags.BoolVar(&what.DryRun, "dry-run", false, "drop nothing, count what would be dropped")
	}
	return cmd
}

// packetRate reads 100 or 100/s; "" is 0.
func packetRate(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(text, "/s"), 10, 32)
	if err != nil || n == 0 {
		return 0, invalid("--limit %s: give packets a second, as 100/s", text)
	}
	return uint32(n), nil
}

func (c *cli) listRemoveCmd(l addressList) *cobra.Command {
	imported := ""
	cmd := &cobra.Command{
		Use:   "remove ADDRESS...",
		Short: map[string]string{"block": "Take addresses off the block list", "allow": "Take addresses off the allow list"}[l.name],
		Long: `Removes entries exactly as they are listed: removing 192.0.2.7 cuts no hole into
192.0.2.0/24.`,
		Example: fmt.Sprintf(`  ironpost %s remove 192.0.2.7`, l.name),
		Args:    between(0, -1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case imported != "" && len(args) > 0:
				return usage(cmd, "%s: give addresses or --list, not both", cmd.CommandPath())
			case imported != "":
				return c.removeBlockList(cmd.Context(), imported)
			}
			if err := between(1, -1, "ADDRESS")(cmd, args); err != nil {
				return err
			}
			requests, err := addresses(args, "", "")
			if err != nil {
				return err
			}
			return c.changeList(cmd.Context(), l, "remove", l.remove, requests)
		},
	}
	if l.name == "block" {
		cmd.Use = "remove ADDRESS... | --list NAME"
		cmd.Long += ` An address that is on an imported list is taken off that too, until
the list is imported again. With --list a whole list ends.`
		cmd.Example += "\n  ironpost block remove --list spamhaus"
		cmd.Flags().StringVar(&imported, "list", "", "an imported list to remove whole; see: ironpost block lists")
	}
	return cmd
}

// addresses checks everything that was given before anything is sent.
func addresses(args []string, ttl, reason string) ([]*ironpostv1.BlockRequest, error) {
	seconds, err := ttlSeconds(ttl)
	if err != nil {
		return nil, err
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

// ttlSeconds reads the flag --ttl; "" is 0.
func ttlSeconds(ttl string) (float64, error) {
	if ttl == "" {
		return 0, nil
	}
	d, err := parseSpan(ttl)
	if err != nil {
		return 0, fmt.Errorf("--ttl: %w", err)
	}
	if d == 0 {
		return 0, invalid("--ttl %s: it has to be longer than nothing", ttl)
	}
	return d.Seconds(), nil
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
