package vex

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

type csafDocument struct {
	Document struct {
		Category  string `json:"category"`
		Version   string `json:"csaf_version"`
		Publisher struct {
			Name string `json:"name"`
		} `json:"publisher"`
		Tracking struct {
			ID      string `json:"id"`
			Version string `json:"version"`
			Current string `json:"current_release_date"`
		} `json:"tracking"`
	} `json:"document"`
	Tree struct {
		Branches      []csafBranch  `json:"branches"`
		Names         []csafProduct `json:"full_product_names"`
		Relationships []struct {
			Category string      `json:"category"`
			Product  csafProduct `json:"full_product_name"`
			Part     string      `json:"product_reference"`
			Whole    string      `json:"relates_to_product_reference"`
		} `json:"relationships"`
		Groups []struct {
			ID       string   `json:"group_id"`
			Products []string `json:"product_ids"`
		} `json:"product_groups"`
	} `json:"product_tree"`
	Vulnerabilities []struct {
		CVE string `json:"cve"`
		IDs []struct {
			Text string `json:"text"`
		} `json:"ids"`
		Status map[string][]string `json:"product_status"`
		Flags  []struct {
			Label string `json:"label"`
			csafAbout
		} `json:"flags"`
		Threats []struct {
			Category string `json:"category"`
			Details  string `json:"details"`
			csafAbout
		} `json:"threats"`
		Remediations []struct {
			Details string `json:"details"`
			csafAbout
		} `json:"remediations"`
	} `json:"vulnerabilities"`
}

type csafBranch struct {
	Branches []csafBranch `json:"branches"`
	Product  *csafProduct `json:"product"`
}

type csafProduct struct {
	ID     string `json:"product_id"`
	Helper struct {
		PURL  string   `json:"purl"`
		PURLs []string `json:"purls"` // of 2.1
	} `json:"product_identification_helper"`
}

type csafAbout struct {
	Products []string `json:"product_ids"`
	Groups   []string `json:"group_ids"`
}

// csafStatuses says what the groups of product_status are. First affected and the like
// name versions, not what is in use: they say no more than affected does.
var csafStatuses = map[string]Status{
	"known_not_affected": NotAffected, "known_affected": Affected, "first_affected": Affected, "last_affected": Affected,
	"fixed": Fixed, "first_fixed": Fixed, "recommended": "", "under_investigation": Investigating,
}

func csaf(data []byte) (*Document, error) {
	var in csafDocument
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(in.Document.Version, "2.") {
		return nil, errors.New("its document.csaf_version is not 2")
	}
	c := collector{doc: Document{
		Format: "csaf", ID: in.Document.Tracking.ID, Author: in.Document.Publisher.Name,
		Time: moment(in.Document.Tracking.Current), Version: in.Document.Tracking.Version,
	}}
	products := in.products()
	groups := map[string][]string{}
	for _, g := range in.Tree.Groups {
		groups[g.ID] = g.Products
	}
	n := 0
	for i := range in.Vulnerabilities {
		v := &in.Vulnerabilities[i]
		var names []string
		if v.CVE != "" {
			names = append(names, v.CVE)
		}
		for _, id := range v.IDs {
			names = append(names, id.Text)
		}
		labels, impacts, actions := map[string]string{}, map[string]string{}, map[string]string{}
		for _, f := range v.Flags {
			f.each(groups, labels, f.Label)
		}
		for _, t := range v.Threats {
			if t.Category == "impact" {
				t.each(groups, impacts, t.Details)
			}
		}
		for _, r := range v.Remediations {
			r.each(groups, actions, r.Details)
		}
		for _, group := range slices.Sorted(maps.Keys(v.Status)) {
			status, ok := csafStatuses[group]
			if status == "" && ok {
				continue
			}
			// Products of one group may have reasons of their own.
			for _, id := range v.Status[group] {
				n++
				s := Statement{Vulnerabilities: names, Products: products[id], Status: status, Time: c.doc.Time}
				switch status {
				case NotAffected:
					s.Justification, s.Impact = labels[id], clip(impacts[id])
				case Affected:
					s.Action = clip(actions[id])
				case "":
					s.Status = Status(group)
				}
				if err := c.add(n, s); err != nil {
					return nil, err
				}
			}
		}
	}
	return &c.doc, nil
}

func (a *csafAbout) each(groups map[string][]string, into map[string]string, text string) {
	for _, id := range a.Products {
		into[id] = text
	}
	for _, g := range a.Groups {
		for _, id := range groups[g] {
			into[id] = text
		}
	}
}

// products finds the package URLs of all product ids. What is a part of a whole is known by both
// where both have URLs, else by that of the part.
func (d *csafDocument) products() map[string][]Product {
	out := map[string][]Product{}
	for i := range d.Tree.Names {
		out[d.Tree.Names[i].ID] = d.Tree.Names[i].list()
	}
	var walk func([]csafBranch)
	walk = func(list []csafBranch) {
		for i := range list {
			if p := list[i].Product; p != nil {
				out[p.ID] = p.list()
			}
			walk(list[i].Branches)
		}
	}
	walk(d.Tree.Branches)
	for _, r := range d.Tree.Relationships {
		if own := r.Product.list(); len(own) > 0 {
			out[r.Product.ID] = own
			continue
		}
		parts := out[r.Part]
		if len(parts) == 0 || len(parts) > 16 || len(out[r.Whole]) > 16 {
			continue
		}
		out[r.Product.ID] = parts
		if wholes := out[r.Whole]; len(wholes) > 0 {
			var urls []string
			for _, p := range parts {
				urls = append(urls, p.PURL)
			}
			out[r.Product.ID] = nil
			for _, whole := range wholes {
				out[r.Product.ID] = append(out[r.Product.ID], Product{PURL: whole.PURL, Parts: urls})
			}
		}
	}
	return out
}

func (p *csafProduct) list() []Product {
	var out []Product
	for _, url := range append([]string{p.Helper.PURL}, p.Helper.PURLs...) {
		if strings.HasPrefix(url, "pkg:") {
			out = append(out, Product{PURL: url})
		}
	}
	return out
}
