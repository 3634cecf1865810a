package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/cli/internal/except"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
)

// listed is an exception as a list shows it.
type listed struct {
	*except.Exception
	Expired bool `json:"expired"`
}

func (c *cli) listed(x *except.Exception) listed { return listed{x, x.Expired(c.now())} }

func (c *cli) exceptListCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The exceptions, with what they leave out and until when",
		Long: `Lists the exceptions that "rules except add" wrote. One that has expired holds no
more; its file stays until it is removed. Other filters in the folder are named on
stderr. Needs no running host.`,
		Example: `  ironpost rules except list
  ironpost rules except list -o json | jq -r '.[] | select(.expired) | .id'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := c.exceptions(cmd.Context(), dir)
			if err != nil {
				return err
			}
			if c.json() {
				out := []listed{}
				for _, x := range all {
					out = append(out, c.listed(x))
				}
				return c.value(out)
			}
			t := newTable("ID", "RULES", "NOT WHERE", "EXPIRES", "STATE", "REASON", "BY")
			for _, x := range all {
				state := "active"
				if x.Expired(c.now()) {
					state = "expired"
				}
				t.row(x.ID, strings.Join(x.Rules, ","), cut(x.When(), 80), x.Expires.Format(time.RFC3339), state, dash(x.Reason), dash(x.By))
			}
			return c.printTable(t, "there are no exceptions")
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the exceptions (default: exceptions in every folder of rules)")
	return cmd
}

// exceptions reads the exceptions, and names on stderr what is none.
func (c *cli) exceptions(ctx context.Context, dir string) ([]*except.Exception, error) {
	folders, err := c.exceptFolders(ctx, dir)
	if err != nil {
		return nil, err
	}
	var all []*except.Exception
	for _, folder := range folders {
		found, foreign, err := except.Read(folder)
		for _, f := range foreign {
			fmt.Fprintln(c.stderr, view.Printable(f.Error()))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// exceptionsNamed returns those with the ids.
func (c *cli) exceptionsNamed(ctx context.Context, dir string, ids []string) (out []*except.Exception, err error) {
	all, err := c.exceptions(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		i := slices.IndexFunc(all, func(x *except.Exception) bool { return x.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("exception %s: %w; see: ironpost rules except list", id, control.ErrNotFound)
		}
		out = append(out, all[i])
	}
	return out, nil
}

func (c *cli) exceptEditCmd() *cobra.Command {
	var dir, ttl, reason string
	cmd := &cobra.Command{
		Use:   "edit ID",
		Short: "Change until when an exception holds, or its reason",
		Long: `Gives an exception another end, counted from now, or another reason. What it leaves
out is its identity: to change that, make another and remove this one.`,
		Example: `  ironpost rules except edit except-1f0c22ab3344 --ttl 90d
  ironpost rules except edit except-1f0c22ab3344 --reason "agreed with operations"`,
		Args: between(1, 1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("ttl") && !cmd.Flags().Changed("reason") {
				return usage(cmd, "%s: nothing to change; give --ttl or --reason", cmd.CommandPath())
			}
			found, err := c.exceptionsNamed(cmd.Context(), dir, args)
			if err != nil {
				return err
			}
			x := found[0]
			if cmd.Flags().Changed("ttl") {
				if x.Expires, err = c.expiry(ttl); err != nil {
					return err
				}
			}
			if cmd.Flags().Changed("reason") {
				x.Reason = reason
			}
			if err := x.Rewrite(); err != nil {
				return err
			}
			if c.json() {
				return c.value(c.listed(x))
			}
			return c.line("%s: until %s: %s", x.ID, x.Expires.Format(time.RFC3339), dash(x.Reason))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the exceptions (default: exceptions in every folder of rules)")
	cmd.Flags().StringVar(&ttl, "ttl", "", "for how long from now, as 12h or 30d; at most 366d")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come later")
	return cmd
}

func (c *cli) exceptRemoveCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "remove ID...",
		Short:   "Remove exceptions: their rules fire again",
		Long:    `Deletes the files of exceptions. All ids must be there, else none is removed.`,
		Example: `  ironpost rules except remove except-1f0c22ab3344`,
		Args:    between(1, -1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := c.exceptionsNamed(cmd.Context(), dir, args)
			if err != nil {
				return err
			}
			out := []listed{}
			for _, x := range found {
				if err := os.Remove(x.File); err != nil {
					return fmt.Errorf("remove the exception %s: %w", x.ID, err)
				}
				out = append(out, c.listed(x))
			}
			if c.json() {
				return c.value(out)
			}
			for _, x := range out {
				if err := c.line("%s removed: %s fires again where %s", x.ID, strings.Join(x.Rules, ", "), x.When()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the exceptions (default: exceptions in every folder of rules)")
	return cmd
}
