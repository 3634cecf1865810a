package document

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// cycloneDX reads a document of CycloneDX. With an error it tells where in the content
// it is, counted from 1, or 0.
func (d *reading) cycloneDX() (int64, error) {
	var bom cyclonedx.BOM
	decode := d.bomJSON
	if d.out.Syntax == CycloneDXXML {
		decode = d.bomXML
	}
	if at, err := decode(&bom); err != nil {
		return at, err
	}
	if bom.SpecVersion < cyclonedx.SpecVersion1_2 {
		return 0, fmt.Errorf("%w (CycloneDX %s)", ErrVersion, bom.SpecVersion)
	}
	d.out.Version = bom.SpecVersion.String()
	var system Distribution
	var all []*cyclonedx.Component
	walk := func(c *cyclonedx.Component) error {
		if len(all) == d.limits.Packages {
			return fmt.Errorf("%w (%d)", ErrTooMany, d.limits.Packages)
		}
		all = append(all, c)
		if c.Type == cyclonedx.ComponentTypeOS && system.ID == "" {
			system = Distribution{ID: c.Name, Version: c.Version, Name: c.Description}
		}
		return nil
	}
	if bom.Metadata != nil {
		d.about(bom.Metadata)
		if c := bom.Metadata.Component; c != nil {
			if isContent(c.PackageURL) {
				all = append(all, c)
			}
			if err := eachComponent(c.Components, walk); err != nil {
				return 0, err
			}
		}
	}
	if err := eachComponent(bom.Components, walk); err != nil {
		return 0, err
	}
	d.out.Target.Distribution = system
	refs := make(map[string]string, len(all)) // of packages, by what the document calls them
	packages := make(map[string]*inventory.Package, len(all))
	for _, c := range all {
		if !isPackage(c) {
			d.out.Skipped++
			continue
		}
		p := packageOf(c, system)
		if _, own := propertyOf(c.Properties, propState); !own {
			d.located(p, "cyclonedx")
		}
		ref := p.Ref()
		if c.BOMRef != "" {
			refs[c.BOMRef] = ref
		}
		d.found.Add(p)
		if packages[ref] == nil {
			packages[ref] = p
		}
	}
	if bom.Dependencies == nil {
		return 0, nil
	}
	for _, n := range *bom.Dependencies {
		p := packages[refs[n.Ref]]
		if p == nil || n.Dependencies == nil {
			continue
		}
		for _, to := range *n.Dependencies {
			if ref, ok := refs[to]; ok {
				p.DependsOn = append(p.DependsOn, ref)
			}
		}
	}
	return 0, nil
}

// eachComponent calls walk for components and those within them. How deep they lie was
// bounded when the text was looked at.
func eachComponent(components *[]cyclonedx.Component, walk func(*cyclonedx.Component) error) error {
	if components == nil {
		return nil
	}
	for i := range *components {
		c := &(*components)[i]
		if err := walk(c); err != nil {
			return err
		}
		if err := eachComponent(c.Components, walk); err != nil {
			return err
		}
	}
	return nil
}

func (d *reading) bomJSON(bom *cyclonedx.BOM) (int64, error) {
	if at := nesting.JSON(d.content, d.limits.Depth); at > 0 {
		return int64(at), fmt.Errorf("%w (%d)", ErrTooDeep, d.limits.Depth)
	}
	err := guarded(func() error {
		return cyclonedx.NewBOMDecoder(bytes.NewReader(d.content), cyclonedx.BOMFileFormatJSON).Decode(bom)
	})
	if errors.Is(err, cyclonedx.ErrInvalidSpecVersion) {
		return 0, fmt.Errorf("%w (CycloneDX)", ErrVersion)
	}
	if err == nil && bom.BOMFormat != cyclonedx.BOMFormat {
		return 0, fmt.Errorf("%w: bomFormat is %q", ErrUnknown, bom.BOMFormat)
	}
	return jsonPlace(err), malformed(err)
}

// bomXML reads XML, after it has gone over the elements for their depth.
func (d *reading) bomXML(bom *cyclonedx.BOM) (int64, error) {
	tokens := xml.NewDecoder(bytes.NewReader(d.content))
	for depth := 0; ; {
		token, err := tokens.RawToken()
		if err == io.EOF { //nolint:errorlint // as the decoder documents it
			break
		}
		if err != nil {
			return tokens.InputOffset(), malformed(err)
		}
		switch token.(type) {
		case xml.StartElement:
			if depth++; depth > d.limits.Depth {
				return tokens.InputOffset(), fmt.Errorf("%w (%d)", ErrTooDeep, d.limits.Depth)
			}
		case xml.EndElement:
			depth--
		}
	}
	return 0, malformed(guarded(func() error {
		return cyclonedx.NewBOMDecoder(bytes.NewReader(d.content), cyclonedx.BOMFileFormatXML).Decode(bom)
	}))
}

// jsonPlace is where an error of syntax is, counted from 1, or 0. That of a wrong type
// is not told: the decoders of the libraries count from the object that it is in.
func jsonPlace(err error) int64 {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return syntax.Offset
	}
	return 0
}

func malformed(err error) error {
	if err == nil || errors.Is(err, ErrMalformed) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// about reads what a document says of itself.
func (d *reading) about(m *cyclonedx.Metadata) {
	if created, err := time.Parse(time.RFC3339, m.Timestamp); err == nil {
		d.out.Created = created.UTC()
	}
	if m.Tools != nil {
		if list := m.Tools.Components; list != nil && len(*list) > 0 {
			d.out.Tool = strings.TrimSpace((*list)[0].Name + " " + (*list)[0].Version)
		} else if list := m.Tools.Tools; list != nil && len(*list) > 0 {
			d.out.Tool = strings.TrimSpace((*list)[0].Name + " " + (*list)[0].Version)
		}
	}
	if c := m.Component; c != nil {
		d.out.Target = Target{Name: joinName("", c.Group, c.Name), Version: c.Version}
		kind, _ := propertyOf(c.Properties, propKind)
		d.out.Target.Kind = Kind(kind)
	}
	if m.Properties == nil {
		return
	}
	for _, property := range *m.Properties {
		var problem inventory.Problem
		if property.Name == propProblem && json.Unmarshal([]byte(property.Value), &problem) == nil {
			d.out.Problems = append(d.out.Problems, problem)
		}
	}
}

// isPackage is true for what has a package URL, and for what may be one by its type. An
// application without a version is a lockfile, as Trivy writes them.
func isPackage(c *cyclonedx.Component) bool {
	switch c.Type {
	case cyclonedx.ComponentTypeOS:
		return false
	case cyclonedx.ComponentTypeLibrary, cyclonedx.ComponentTypeFramework, cyclonedx.ComponentTypeFirmware, cyclonedx.ComponentTypePlatform, cyclonedx.ComponentTypeDeviceDriver:
		return true
	case cyclonedx.ComponentTypeApplication, cyclonedx.ComponentTypeContainer:
		return c.PackageURL != "" || c.Version != ""
	}
	return c.PackageURL != ""
}

// packageOf is the package that a component is. What Ironpost wrote is told by its
// properties, for all others the package URL counts.
func packageOf(c *cyclonedx.Component, system Distribution) *inventory.Package {
	p := &inventory.Package{Version: c.Version, PURL: c.PackageURL, State: inventory.Declared}
	state, own := propertyOf(c.Properties, propState)
	if own {
		p.State = inventory.State(state)
		p.Ecosystem = ecosystemOfType(p.PURL)
		ownProperties(p, *c.Properties)
		p.Name = joinName(p.Ecosystem, c.Group, c.Name)
	} else {
		p.Name = joinName(ecosystemOfType(p.PURL), c.Group, c.Name)
		p.Development = c.Scope == cyclonedx.ScopeExcluded
		origin(p, system)
		foreignProperties(p, c.Properties)
	}
	if c.Hashes != nil {
		for _, h := range *c.Hashes {
			p.Hashes = append(p.Hashes, joinHash(string(h.Algorithm), h.Value))
		}
	}
	p.Licenses = licensesOf(c.Licenses)
	if c.Evidence == nil || c.Evidence.Occurrences == nil {
		return p
	}
	from := len(p.Locations)
	for _, o := range *c.Evidence.Occurrences {
		l := inventory.Location{Path: o.Location, By: "cyclonedx"}
		if o.Line != nil && *o.Line > 0 {
			l.Line = *o.Line
		}
		p.Locations = append(p.Locations, l)
	}
	if own {
		ownLocations(p.Locations[from:], *c.Properties)
	}
	return p
}

func licensesOf(choices *cyclonedx.Licenses) []string {
	if choices == nil {
		return nil
	}
	var out []string
	for _, choice := range *choices {
		switch {
		case choice.Expression != "":
			out = append(out, choice.Expression)
		case choice.License != nil:
			out = append(out, firstOf(choice.License.ID, choice.License.Name))
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

func propertyOf(properties *[]cyclonedx.Property, name string) (string, bool) {
	if properties == nil {
		return "", false
	}
	for _, property := range *properties {
		if property.Name == name {
			return property.Value, true
		}
	}
	return "", false
}

// ownProperties reads what Ironpost wrote.
func ownProperties(p *inventory.Package, properties []cyclonedx.Property) {
	for _, property := range properties {
		switch v := property.Value; property.Name {
		case propEcosystem:
			p.Ecosystem = v
		case propArch:
			p.Arch = v
		case propSourceName:
			p.SourceName = v
		case propSourceVersion:
			p.SourceVersion = v
		case propDevelopment:
			p.Development = v == "true"
		case propVersion:
			p.Version = v
		case propHash:
			p.Hashes = append(p.Hashes, v)
		}
	}
}

// ownLocations adds to the places what Ironpost wrote of them: first the reader of
// all, then what differs for one.
func ownLocations(locations []inventory.Location, properties []cyclonedx.Property) {
	by, _ := propertyOf(&properties, propFoundBy)
	for i := range locations {
		locations[i].By = by
	}
	for _, property := range properties {
		rest, ok := strings.CutPrefix(property.Name, propLocation)
		number, what, _ := strings.Cut(rest, ":")
		i, err := strconv.Atoi(number)
		if !ok || err != nil || i < 0 || i >= len(locations) {
			continue
		}
		switch what {
		case "found_by":
			locations[i].By = property.Value
		case "layer":
			locations[i].Layer = property.Value
		case "line":
			if line, err := strconv.Atoi(property.Value); err == nil && line > 0 {
				locations[i].Line = line
			}
		}
	}
}

// foreignProperties reads what other scanners say of the packages of distributions, and
// where they found them.
func foreignProperties(p *inventory.Package, properties *[]cyclonedx.Property) {
	if properties == nil {
		return
	}
	layer, release, epoch := "", "", ""
	for _, property := range *properties {
		switch name, v := property.Name, property.Value; {
		case name == "cdx:npm:package:development":
			p.Development = p.Development || v == "true"
		case name == "aquasecurity:trivy:SrcName":
			p.SourceName = v
		case name == "aquasecurity:trivy:SrcVersion":
			p.SourceVersion = v
		case name == "aquasecurity:trivy:SrcRelease":
			release = v
		case name == "aquasecurity:trivy:SrcEpoch":
			epoch = v
		case name == "aquasecurity:trivy:LayerDigest":
			layer = v
		case name == "aquasecurity:trivy:FilePath":
			p.Locations = append(p.Locations, inventory.Location{Path: v, By: "trivy"})
		case strings.HasPrefix(name, "syft:location:") && strings.HasSuffix(name, ":path"):
			p.Locations = append(p.Locations, inventory.Location{Path: strings.TrimPrefix(v, "/"), By: "syft"})
		}
	}
	if release != "" {
		p.SourceVersion += "-" + release
	}
	if n, err := strconv.Atoi(epoch); err == nil && n > 0 {
		p.SourceVersion = epoch + ":" + p.SourceVersion
	}
	for i := range p.Locations {
		p.Locations[i].Layer = layer
	}
}
