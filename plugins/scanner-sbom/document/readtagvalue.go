package document

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	library "github.com/spdx/tools-golang/spdx"
)

// tagReader reads SPDX's form of lines, "Tag: value", in which "<text>" begins a value of
// several lines. The reader of the library refuses the specification's own example (its
// snippets) and lines of 64 KiB, and tells no place. Here only what makes packages is
// looked at; all else is passed over.
type tagReader struct {
	doc     *library.Document
	limit   int // of packages
	section section
}

// A section is what a document speaks of since some tag.
type section int

const (
	ofDocument section = iota
	ofPackage
	ofOther // a file, or a snippet
	ofLicense
)

// read reads the content. With an error it tells where that is, counted from 1.
func (r *tagReader) read(content []byte) (int64, error) {
	for at := 0; at < len(content); {
		end := at + lineLength(content[at:])
		line := bytes.TrimSpace(content[at:end])
		if len(line) == 0 || line[0] == '#' {
			at = end
			continue
		}
		tag, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return int64(at) + 1, fmt.Errorf("%w: a line without a colon", ErrMalformed)
		}
		value = bytes.TrimSpace(value)
		if bytes.HasPrefix(value, []byte("<text>")) {
			from := at + bytes.Index(content[at:end], []byte("<text>")) + len("<text>")
			length := bytes.Index(content[from:], []byte("</text>"))
			if length < 0 {
				return int64(at) + 1, fmt.Errorf("%w: a text that does not end", ErrMalformed)
			}
			value = content[from : from+length]
			end = from + length
			end += lineLength(content[end:])
		}
		if err := r.tag(string(bytes.TrimSpace(tag)), valid(string(value))); err != nil {
			return int64(at) + 1, err
		}
		at = end
	}
	return 0, nil
}

// lineLength is how long the first line is, with its end.
func lineLength(content []byte) int {
	if i := bytes.IndexByte(content, '\n'); i >= 0 {
		return i + 1
	}
	return len(content)
}

// tag takes in one tag.
func (r *tagReader) tag(tag, value string) error {
	switch tag {
	case "SPDXVersion":
		if !slices.Contains([]string{"SPDX-2.1", "SPDX-2.2", "SPDX-2.3"}, value) {
			return fmt.Errorf("%w (%q)", ErrVersion, value)
		}
		r.doc.SPDXVersion = value
	case "DocumentName":
		r.doc.DocumentName = value
	case "Creator":
		kind, name, _ := strings.Cut(value, ":")
		r.info().Creators = append(r.info().Creators, library.Creator{CreatorType: strings.TrimSpace(kind), Creator: strings.TrimSpace(name)})
	case "Created":
		r.info().Created = value
	case "PackageName":
		if len(r.doc.Packages) == r.limit {
			return fmt.Errorf("%w (%d)", ErrTooMany, r.limit)
		}
		r.section = ofPackage
		r.doc.Packages = append(r.doc.Packages, &library.Package{PackageName: value})
	case "FileName", "SnippetSPDXID", "SnippetSPDXIdentifier":
		r.section = ofOther
	case "LicenseID":
		r.section = ofLicense
		r.doc.OtherLicenses = append(r.doc.OtherLicenses, &library.OtherLicense{LicenseIdentifier: value})
	case "SPDXID":
		switch id := elementID(value); r.section {
		case ofDocument:
			r.doc.SPDXIdentifier = id
		case ofPackage:
			r.pkg().PackageSPDXIdentifier = id
		}
	case "Relationship":
		if words := strings.Fields(value); len(words) == 3 {
			r.doc.Relationships = append(r.doc.Relationships, &library.Relationship{
				RefA: library.DocElementID{ElementRefID: elementID(words[0])}, Relationship: words[1], RefB: library.DocElementID{ElementRefID: elementID(words[2])},
			})
		}
	default:
		switch r.section {
		case ofPackage:
			r.packageTag(tag, value)
		case ofLicense:
			l := r.doc.OtherLicenses[len(r.doc.OtherLicenses)-1]
			switch tag {
			case "ExtractedText":
				l.ExtractedText = value
			case "LicenseName":
				l.LicenseName = value
			}
		}
	}
	return nil
}

func (r *tagReader) packageTag(tag, value string) {
	p := r.pkg()
	switch tag {
	case "PackageVersion":
		p.PackageVersion = value
	case "PackageLicenseDeclared":
		p.PackageLicenseDeclared = value
	case "PackageDescription":
		p.PackageDescription = value
	case "PrimaryPackagePurpose":
		p.PrimaryPackagePurpose = value
	case "PackageChecksum":
		algorithm, digits, _ := strings.Cut(value, ":")
		p.PackageChecksums = append(p.PackageChecksums, library.Checksum{
			Algorithm: library.ChecksumAlgorithm(strings.TrimSpace(algorithm)), Value: strings.TrimSpace(digits),
		})
	case "ExternalRef":
		if words := strings.Fields(value); len(words) == 3 {
			p.PackageExternalReferences = append(p.PackageExternalReferences, &library.PackageExternalReference{
				Category: words[0], RefType: words[1], Locator: words[2],
			})
		}
	}
}

func (r *tagReader) pkg() *library.Package { return r.doc.Packages[len(r.doc.Packages)-1] }

func (r *tagReader) info() *library.CreationInfo {
	if r.doc.CreationInfo == nil {
		r.doc.CreationInfo = &library.CreationInfo{}
	}
	return r.doc.CreationInfo
}

// elementID is an identifier as the library has it, without what all begin with.
func elementID(value string) library.ElementID {
	return library.ElementID(strings.TrimPrefix(value, "SPDXRef-"))
}
