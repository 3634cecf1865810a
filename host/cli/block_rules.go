package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// defaultPriority is that of a rule that names none: there is room before it and
// after it.
const defaultPriority = 1000

func (c *cli) blockRuleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Drop, limit or count some of the traffic: by protocol, port, source, destination",
		Long: `A rule says more than an address on the block list: which protocol, which ports,
where from, where to. It drops what matches, lets each source send so many packets
a second of it, or counts it.

Rules are asked in the order in which they are listed: lower priorities first, of
equal ones in the order of their names (in ASCII). The first one that matches
decides; a dry run decides nothing.

The block list is asked before the rules, and what it drops they do not see. The
allow list wins over both. On it are also gateways, name servers, time servers,
trusted proxies and the peers of SSH sessions that are logged in: no rule stops
them. In simulate mode nothing is dropped, and counted as would drop.`,
	}
	group(cmd)
	cmd.AddCommand(c.blockRuleAddCmd(), c.blockRuleListCmd(), c.blockRuleRemoveCmd())
	return cmd
}

func (c *cli) blockRuleAddCmd() *cobra.Command {
	req := &ironpostv1.BlockRuleRequest{}
	var ttl, limit string
	var priority uint16
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a rule, or replace the one of that name",
		Long: `A packet matches a rule when it meets every condition that is given; one is needed
at least. NAME has letters, digits, - _ and ., at most 64. The rule of that name is
replaced whole; what it counted goes on while the conditions stay the same.

A source, with --limit, is an IPv4 address or an IPv6 /64: each may send so many
packets a second, and the burst at once. What is over it is dropped.

Every rule expires, as blocks do. There are 64 rules at most, 4096 networks in all of
them, and 8 ranges of ports in one. Many addresses belong on a list: block import.

A rule that drops everything of a protocol from everywhere is refused without --force.
One that drops SSH from everywhere is not, but said: sessions that are logged in pass,
nobody else gets in. Try it with --dry-run, or under mode enforce --confirm.`,
		Example: `  ironpost block rule add ssh --protocol tcp-syn --port 22 --limit 10/s --burst 20
  ironpost block rule add dns --protocol udp --source-port 53 --limit 500/s --dry-run --ttl 10m
  ironpost block rule add web --from 203.0.113.0/24,2001:db8::/32 --port 80,443,8000-8100
  ironpost block rule add ping --protocol icmp --limit 5/s --priority 500 --reason 'ticket 4711'`,
		Args:              between(1, 1, "NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if cmd.Flags().Changed("burst") && limit == "" {
				return usage(cmd, "--burst belongs to --limit")
			}
			if req.TtlSeconds, err = ttlSeconds(ttl); err != nil {
				return err
			}
			if req.Limit, err = packetRate(limit); err != nil {
				return err
			}
			req.Name, req.Priority = args[0], uint32(priority)
			if err := checkRule(req); err != nil {
				return err
			}
			return c.addBlockRule(cmd.Context(), req)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&req.From, "from", nil, "addresses or networks that it comes from (default: any)")
	flags.StringSliceVar(&req.To, "to", nil, "addresses or networks that it goes to (default: any)")
	flags.StringVar(&req.Protocol, "protocol", "", "tcp, tcp-syn (asks for a connection), udp, icmp, icmpv6 or other (default: any)")
	flags.StringSliceVar(&req.Ports, "port", nil, "ports that it goes to, of TCP and UDP, as 22,8000-8100 (default: any)")
	flags.StringSliceVar(&req.SourcePorts, "source-port", nil, "ports that it comes from (default: any)")
	flags.StringVar(&req.Action, "action", "", "drop, monitor (count and let pass) or limit (default: limit with --limit, else drop)")
	flags.StringVar(&limit, "limit", "", "let each source send so many packets a second, as 100/s")
	flags.Uint32Var(&req.Burst, "burst", 0, "with --limit, how many packets may come at once (default: a tenth of a second's)")
	flags.BoolVar(&req.DryRun, "dry-run", false, "drop nothing, count what would be dropped")
	flags.Uint16Var(&priority, "priority", defaultPriority, "rules with a lower one are asked first, 0 to 65535")
	flags.StringVar(&ttl, "ttl", "", "how long it stays, as 30m, 24h or 7d (default 1h; at most [respond] max_ttl)")
	flags.StringVar(&req.Reason, "reason", "", "why; it is shown in the list and kept in the audit log")
	flags.BoolVar(&req.Force, "force", false, "also when it drops everything of a protocol from everywhere")
	for name, words := range map[string][]string{
		"protocol": {"tcp", "tcp-syn", "udp", "icmp", "icmpv6", "other"},
		"action":   {"drop", "monitor", "limit"},
	} {
		// It fails for a flag that there is not alone.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// checkRule checks what was given before anything is sent.
func checkRule(req *ironpostv1.BlockRuleRequest) error {
	if err := control.CheckRuleName(req.GetName()); err != nil {
		return err
	}
	for name, list := range map[string][]string{"from": req.GetFrom(), "to": req.GetTo()} {
		for _, s := range list {
			if _, err := control.ParsePrefix(s); err != nil {
				return fmt.Errorf("--%s: %w", name, err)
			}
		}
	}
	for name, list := range map[string][]string{"port": req.GetPorts(), "source-port": req.GetSourcePorts()} {
		for _, s := range list {
			if _, err := control.ParsePortRange(s); err != nil {
				return fmt.Errorf("--%s: %w", name, err)
			}
		}
	}
	return nil
}

func (c *cli) addBlockRule(ctx context.Context, req *ironpostv1.BlockRuleRequest) error {
	return c.host(ctx, changeTimeout, func(ctx context.Context, h *control.Client) error {
		resp, err := h.AddBlockRule(ctx, req)
		if err != nil {
			return fmt.Errorf("block rule add %s: %w", req.GetName(), err)
		}
		for _, w := range resp.GetWarnings() {
			fmt.Fprintln(c.stderr, view.Printable("ironpost: "+w))
		}
		if c.json() {
			return c.message(resp)
		}
		r := resp.GetRule()
		text := "is in force"
		if !resp.GetChanged() {
			text = "was in force already"
		}
		return c.line("rule %s: %s %s %s until %s: %s", r.GetName(), ruleAction(r), ruleMatch(r), text, stamp(r.GetExpires()), r.GetEffect())
	})
}

func (c *cli) blockRuleListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The rules, in the order in which they are asked",
		Long: `Lists every rule with what it matches, what it does, until when it lasts, and its
effect: enforced, simulated, or why it has none. HITS are the packets that it decided.
Of these DROPPED were dropped, WOULD DROP would have been but for the mode or a dry
run, and the others passed: they were monitored or within the limit. The counts are
sums over all interfaces.`,
		Example: `  ironpost block rule list
  ironpost block rule list -o json | jq -r '.[] | select(.would_drop > 0) | .name'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				resp, err := h.ListBlockRules(ctx, &ironpostv1.ListBlockRulesRequest{})
				if err != nil {
					return fmt.Errorf("block rule list: %w", err)
				}
				if c.json() {
					return list(c, resp.GetRules())
				}
				t := newTable("PRIORITY", "NAME", "MATCH", "ACTION", "DRY RUN", "SINCE", "EXPIRES", "HITS", "DROPPED", "WOULD DROP", "EFFECT", "REASON")
				for _, r := range resp.GetRules() {
					t.row(count(r.GetPriority()), r.GetName(), ruleMatch(r), ruleAction(r), yes(r.GetDryRun()), stamp(r.GetCreated()), stamp(r.GetExpires()),
						count(r.GetHits()), count(r.GetDropped()), count(r.GetWouldDrop()), dash(r.GetEffect()), dash(r.GetReason()))
				}
				return c.printTable(t, "there is no rule")
			})
		},
	}
}

func (c *cli) blockRuleRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME...",
		Short:             "End rules",
		Long:              `Ends rules at once. The first that is not there ends the verb; those before it are gone.`,
		Example:           `  ironpost block rule remove ssh ping`,
		Args:              between(1, -1, "NAME"),
		ValidArgsFunction: c.completeBlockRules,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := control.CheckRuleName(name); err != nil {
					return err
				}
			}
			return c.host(cmd.Context(), changeTimeout, func(ctx context.Context, h *control.Client) error {
				gone := make([]*ironpostv1.BlockRule, 0, len(args))
				for _, name := range args {
					r, err := h.RemoveBlockRule(ctx, &ironpostv1.RemoveBlockRuleRequest{Name: name})
					if err != nil {
						return fmt.Errorf("block rule remove %s: %w", name, err)
					}
					if gone = append(gone, r); c.json() {
						continue
					}
					if err := c.line("rule %s is gone: %d hits, %d dropped, %d would have been", r.GetName(), r.GetHits(), r.GetDropped(), r.GetWouldDrop()); err != nil {
						return err
					}
				}
				if c.json() {
					return list(c, gone)
				}
				return nil
			})
		},
	}
}

// completeBlockRules offers the names of rules to the shell; without a host it
// offers nothing.
func (c *cli) completeBlockRules(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	given := make(map[string]bool, len(args))
	for _, name := range args {
		given[name] = true
	}
	var names []string
	_ = c.host(cmd.Context(), time.Second, func(ctx context.Context, h *control.Client) error {
		resp, err := h.ListBlockRules(ctx, &ironpostv1.ListBlockRulesRequest{})
		for _, r := range resp.GetRules() {
			if !given[r.GetName()] {
				names = append(names, view.Printable(r.GetName()))
			}
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// ruleMatch says what packets a rule is about: "tcp port 22,8000-8100 from
// 192.0.2.0/24".
func ruleMatch(r *ironpostv1.BlockRule) string {
	words := []string{r.GetProtocol()}
	for _, part := range []struct {
		name string
		list []string
	}{{"port", r.GetPorts()}, {"source-port", r.GetSourcePorts()}, {"from", r.GetFrom()}, {"to", r.GetTo()}} {
		if len(part.list) > 0 {
			words = append(words, part.name, abridged(part.list))
		}
	}
	return strings.Join(words, " ")
}

// abridged joins the first of a list and says how many more there are.
func abridged(list []string) string {
	const most = 8
	if len(list) <= most {
		return strings.Join(list, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ","), len(list)-most)
}

// ruleAction says what a rule does: "limit 100/s burst 200".
func ruleAction(r *ironpostv1.BlockRule) string {
	if r.GetLimit() == 0 {
		return r.GetAction()
	}
	return fmt.Sprintf("%s %d/s burst %d", r.GetAction(), r.GetLimit(), r.GetBurst())
}
