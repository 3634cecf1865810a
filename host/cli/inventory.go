package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (c *cli) inventoryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "What is installed, what of it is vulnerable, what of it runs",
		Long: `What the scanner found while the host ran: the packages of the host, of its
containers and of its images, as they are now. It is kept by a sink that can be
asked, by default sink-sqlite.`,
	}
	group(cmd)
	c.storeFlag(cmd)
	cmd.AddCommand(c.inventoryListCmd())
	return cmd
}

func (c *cli) inventoryListCmd() *cobra.Command {
	var f filter
	var name, cve, target, ecosystem, least string
	var inUse bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Packages, those first of which was heard last",
		Long: `Lists packages with the advisories that hold for them. IN USE says that a process
executes or maps a file of the package; "-" says that this was not observed, not that
it does not happen.`,
		Example: `  ironpost inventory list --in-use --severity high
  ironpost inventory list --cve CVE-2021-44228
  ironpost inventory list --target web1 --package openssl -o json | jq '.[].version'`,
		Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := c.request(&f, ironpostv1.Kind_KIND_INVENTORY)
			if err != nil {
				return err
			}
			if req.MinSeverity, err = severity(least); err != nil {
				return err
			}
			for _, equal := range [...]struct{ key, value string }{
				{"package", name}, {"cve", cve}, {"target", target}, {"ecosystem", ecosystem},
			} {
				if equal.value != "" {
					req.Equal = append(req.Equal, &ironpostv1.Field{Key: equal.key, Value: equal.value})
				}
			}
			if cmd.Flags().Changed("in-use") {
				req.Equal = append(req.Equal, &ironpostv1.Field{Key: "in_use", Value: fmt.Sprint(inUse)})
			}
			return c.host(cmd.Context(), readTimeout, func(ctx context.Context, h *control.Client) error {
				return c.listInventory(ctx, h, req)
			})
		},
	}
	f.flags(cmd)
	where := cmd.Flags().Lookup("where")
	where.Usage = "only those with this value, as version=1.2.3 or purl=...; may be repeated"
	cmd.Flags().StringVar(&name, "package", "", "only packages with this name")
	cmd.Flags().StringVar(&cve, "cve", "", "only packages that this advisory holds for, by any of its names")
	cmd.Flags().StringVar(&target, "target", "", "only packages of this target: host, a container's name or the beginning of its id,\nimage:DIGEST")
	cmd.Flags().StringVar(&ecosystem, "ecosystem", "", "only packages of this ecosystem, as npm or Debian")
	cmd.Flags().BoolVar(&inUse, "in-use", false, "only packages that are in use; --in-use=false: only those that were not seen in use")
	cmd.Flags().StringVar(&least, "severity", "", "only packages with a finding at least this severe: informational, low, medium, high, critical")
	return cmd
}

// listInventory is listAlerts for packages.
func (c *cli) listInventory(ctx context.Context, h *control.Client, req *ironpostv1.QueryRequest) error {
	var list array
	t := newTable("TARGET", "PACKAGE", "VERSION", "ECOSYSTEM", "IN USE", "SEVERITY", "FINDINGS", "FIXED")
	err := query(ctx, h, req, func(b *ironpostv1.Batch) {
		for _, e := range b.GetInventory() {
			if c.json() {
				list.add(func(dst []byte) []byte { return view.AppendInventory(dst, e) })
				continue
			}
			inUse, severity := "-", "-"
			if e.GetInUse() {
				inUse = "yes"
			}
			ids, fixed := advisories(e)
			if ids != "" {
				severity = view.InventorySeverity(e).String()
			}
			t.row(targetName(e), e.GetName(), dash(e.GetVersion()), dash(e.GetEcosystem()), inUse, severity,
				dash(cut(view.Printable(ids), 60)), dash(cut(view.Printable(fixed), 30)))
		}
	})
	switch {
	case err != nil:
		return fmt.Errorf("inventory list: %w", err)
	case c.json():
		return c.printArray(&list)
	}
	return c.printTable(t, "there are no such packages")
}

// targetName is how people call a target.
func targetName(e *ironpostv1.InventoryEvent) string {
	if name := e.GetTargetName(); name != "" {
		return name
	}
	if id, ok := strings.CutPrefix(e.GetTarget(), "container:"); ok {
		return cut(id, 13)
	}
	return dash(e.GetTarget())
}

// advisories are the names of a package's advisories, the CVE where there is one, and the
// versions that mend them. "!" follows one that is known to be exploited.
func advisories(e *ironpostv1.InventoryEvent) (ids, fixed string) {
	var names, versions []string
	for _, f := range e.GetFindings() {
		name := f.GetId()
		for _, alias := range f.GetAliases() {
			if strings.HasPrefix(alias, "CVE-") && !strings.HasPrefix(name, "CVE-") {
				name = alias
			}
		}
		if f.GetKev() {
			name += "!"
		}
		names = append(names, name)
		if v := f.GetFixed(); v != "" && !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	return strings.Join(names, " "), strings.Join(versions, " ")
}
