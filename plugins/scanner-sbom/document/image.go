package document

import "github.com/package-url/packageurl-go"

// ImagePURL is the package URL of a container image. digest is that of a registry, as
// "sha256:0a1b...", repository where it is, as "docker.io/library/debian"; tag and arch may
// be "".
func ImagePURL(name, digest, repository, tag, arch string) string {
	qualifiers := map[string]string{"repository_url": repository}
	if tag != "" {
		qualifiers["tag"] = tag
	}
	if arch != "" {
		qualifiers["arch"] = arch
	}
	return packageurl.NewPackageURL("oci", "", name, digest, packageurl.QualifiersFromMap(qualifiers), "").ToString()
}
