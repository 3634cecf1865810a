package extract

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/google/osv-scalibr/extractor/filesystem/language/cpp/conanlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dart/packageconfig"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dart/pubspec"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/csproj"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/depsjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/nugetcpm"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/packagesconfig"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/packageslockjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/paketlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/projectassetsjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/elixir/mixlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gobinary"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gomod"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/vendormodules"
	"github.com/google/osv-scalibr/extractor/filesystem/language/haskell/cabal"
	"github.com/google/osv-scalibr/extractor/filesystem/language/haskell/stacklock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/archive"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/gradlelockfile"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/gradleverificationmetadataxml"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/gradleversioncatalog"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/pomxml"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/bunlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagejson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagelockjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/pnpmlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/yarnlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/julia/manifesttoml"
	"github.com/google/osv-scalibr/extractor/filesystem/language/php/composerlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/condameta"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pdmlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pipfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/poetrylock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/pylock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/requirements"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/setup"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/uvlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/wheelegg"
	"github.com/google/osv-scalibr/extractor/filesystem/language/r/renvlock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/ruby/gemfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/ruby/gemspec"
	"github.com/google/osv-scalibr/extractor/filesystem/language/rust/cargoauditable"
	"github.com/google/osv-scalibr/extractor/filesystem/language/rust/cargolock"
	"github.com/google/osv-scalibr/extractor/filesystem/language/swift/packageresolved"
	"github.com/google/osv-scalibr/extractor/filesystem/language/swift/podfilelock"
	"github.com/google/osv-scalibr/extractor/filesystem/os/apk"
	"github.com/google/osv-scalibr/extractor/filesystem/os/dpkg"
	"github.com/google/osv-scalibr/extractor/filesystem/os/pacman"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/cargo"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/npm"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// maxArchive bounds archives and programs, which are read here and there.
const maxArchive = 2 << 30

// Readers returns all readers.
func Readers() ([]*Reader, error) {
	const (
		locked, declared, installed, built = inventory.Locked, inventory.Declared, inventory.Installed, inventory.Built
	)
	outside := func(file string) bool { return !inFolder(file, "node_modules") }
	all := []adapted{
		// C and C++, Dart, .NET, Elixir, Haskell, PHP, R, Swift.
		{Reader{Name: "conan-lock", Names: words("conan.lock"), State: locked}, conanlock.New, nil},
		{Reader{Name: "pubspec-lock", Names: words("pubspec.lock"), State: locked}, pubspec.New, nil},
		{Reader{Name: "dart-packages", Names: words("package_config.json"), State: installed}, packageconfig.New, nil},
		{Reader{Name: "dotnet-deps", Suffixes: words(".deps.json"), State: installed}, depsjson.New, nil},
		{Reader{Name: "nuget-lock", Names: words("packages.lock.json"), State: locked}, packageslockjson.New, nil},
		{Reader{Name: "nuget-config", Names: words("packages.config"), State: declared}, packagesconfig.New, nil},
		{Reader{Name: "nuget-assets", Names: words("project.assets.json"), State: locked}, projectassetsjson.New, nil},
		{Reader{Name: "nuget-central", Names: words("directory.packages.props directory.build.props"), State: declared}, nugetcpm.New, nil},
		{Reader{Name: "dotnet-project", Suffixes: words(".csproj .vbproj .fsproj"), State: declared}, csproj.New, nil},
		{Reader{Name: "paket-lock", Names: words("paket.lock"), State: locked}, paketlock.New, nil},
		{Reader{Name: "mix-lock", Names: words("mix.lock"), State: locked}, mixlock.New, nil},
		{Reader{Name: "stack-lock", Names: words("stack.yaml.lock"), State: locked}, stacklock.New, nil},
		{Reader{Name: "cabal-freeze", Names: words("cabal.project.freeze"), State: locked}, cabal.New, nil},
		{Reader{Name: "julia-manifest", Names: words("manifest.toml"), State: locked}, manifesttoml.New, nil},
		{Reader{Name: "composer-lock", Names: words("composer.lock"), State: locked}, composerlock.New, nil},
		{Reader{Name: "renv-lock", Names: words("renv.lock"), State: locked}, renvlock.New, nil},
		{Reader{Name: "swift-resolved", Names: words("package.resolved"), State: locked}, packageresolved.New, nil},
		{Reader{Name: "podfile-lock", Names: words("podfile.lock"), State: locked}, podfilelock.New, nil},

		// Go, Rust, and what their compilers leave in programs.
		{Reader{Name: "go-mod", Names: words("go.mod"), State: locked}, gomod.New, nil},
		{Reader{
			Name: "go-vendor", Names: words("modules.txt"), State: locked,
			Wants: func(file string) bool { return path.Base(path.Dir(file)) == "vendor" },
		}, vendormodules.New, nil},
		{Reader{Name: "cargo-lock", Names: words("cargo.lock"), State: locked}, cargolock.New, nil},
		{Reader{Name: "go-program", Programs: true, State: built, MaxBytes: maxArchive}, gobinary.New, nil},
		{Reader{Name: "rust-program", Programs: true, State: built, MaxBytes: maxArchive}, cargoauditable.New, nil},

		// Java.
		{Reader{Name: "java-archive", Suffixes: words(".jar .war .ear .jmod .par .sar .jpi .hpi .lpkg .nar"), State: installed, MaxBytes: maxArchive}, archive.New, nil},
		{Reader{Name: "gradle-lock", Names: words("gradle.lockfile buildscript-gradle.lockfile"), State: locked}, gradlelockfile.New, nil},
		{Reader{
			Name: "gradle-catalog", Suffixes: words(".versions.toml"), State: declared,
			Wants: func(file string) bool {
				return path.Base(file) == "libs.versions.toml" || path.Base(path.Dir(file)) == "gradle"
			},
		}, gradleversioncatalog.New, nil},
		{Reader{
			Name: "gradle-verification", Names: words("verification-metadata.xml"), State: declared,
			Wants: func(file string) bool { return path.Base(path.Dir(file)) == "gradle" },
		}, gradleverificationmetadataxml.New, nil},
		{Reader{Name: "maven-pom", Names: words("pom.xml"), Suffixes: words(".pom"), State: declared}, pomxml.New, nil},

		// JavaScript. What a package in node_modules was locked to is not what is used.
		{Reader{Name: "package-lock", Names: words("package-lock.json npm-shrinkwrap.json"), Wants: outside, State: locked}, packagelockjson.New, nil},
		{Reader{Name: "yarn-lock", Names: words("yarn.lock"), Wants: outside, State: locked}, yarnlock.New, nil},
		{Reader{Name: "pnpm-lock", Names: words("pnpm-lock.yaml"), Wants: outside, State: locked}, pnpmlock.New, nil},
		{Reader{Name: "bun-lock", Names: words("bun.lock"), Wants: outside, State: locked}, bunlock.New, nil},
		{Reader{Name: "node-package", Names: words("package.json"), State: installed}, packagejson.New, nil},

		// Python.
		{Reader{Name: "pdm-lock", Names: words("pdm.lock"), State: locked}, pdmlock.New, nil},
		{Reader{Name: "pipfile-lock", Names: words("pipfile.lock"), State: locked}, pipfilelock.New, nil},
		{Reader{Name: "poetry-lock", Names: words("poetry.lock"), State: locked}, poetrylock.New, nil},
		{Reader{Name: "pylock", Suffixes: words(".toml"), State: locked, Wants: func(file string) bool {
			base := path.Base(file)
			return base == "pylock.toml" || (strings.HasPrefix(base, "pylock.") && strings.HasSuffix(base, ".toml"))
		}}, pylock.New, nil},
		{Reader{Name: "uv-lock", Names: words("uv.lock"), State: locked}, uvlock.New, nil},
		{Reader{Name: "python-setup", Names: words("setup.py"), State: declared}, setup.New, nil},
		{Reader{
			Name: "conda", Folders: words("conda-meta"), State: installed,
			Wants: func(file string) bool { return strings.HasSuffix(file, ".json") && inFolder(file, "envs") },
		}, condameta.New, nil},
		{Reader{
			Name: "requirements", Suffixes: words(".txt"), State: declared,
			Wants: func(file string) bool { return strings.Contains(path.Base(file), "requirements") },
		}, requirements.New, nil},
		{Reader{Name: "python-package", Names: words("pkg-info metadata"), Suffixes: words(".egg-info .egg .whl"), State: installed, Wants: pythonPackage}, wheelegg.New, nil},

		// Ruby.
		{Reader{Name: "gemfile-lock", Names: words("gemfile.lock gems.locked"), State: locked}, gemfilelock.New, nil},
		{Reader{Name: "gem", Suffixes: words(".gemspec"), State: installed}, gemspec.New, nil},

		// Distributions: their databases, in this root or one below.
		database(Reader{Name: "dpkg", Names: words("status"), Folders: words("status.d")}, dpkg.New, "var/lib/dpkg/status", "usr/lib/opkg/status", "var/lib/dpkg/status.d/"),
		database(Reader{Name: "apk", Names: words("installed")}, apk.New, "lib/apk/db/installed", "var/lib/apk/db/installed", "usr/lib/apk/db/installed"),
		database(Reader{Name: "rpm", Names: words("packages packages.db rpmdb.sqlite")}, nil, "usr/lib/sysimage/rpm/", "var/lib/rpm/", "usr/share/rpm/"),
		database(Reader{Name: "pacman", Names: words("desc")}, pacman.New, "var/lib/pacman/local/"),
	}
	var out []*Reader
	var problems []error
	gate := make(chan struct{}, 1)
	for _, r := range all {
		reader, err := adapt(r.Reader, r.make, r.root)
		problems = append(problems, err)
		switch r.Name {
		case "poetry-lock", "pdm-lock", "uv-lock", "pylock", "gradle-catalog", "julia-manifest":
			reader = shallow(reader, nesting.TOML)
		case "java-archive":
			reader = sound(reader, "manifest.mf", "pom.properties")
		case "python-package":
			reader = sound(reader, "metadata", "pkg-info")
		case "dotnet-deps":
			reader = shallow(wellFormed(reader), nesting.JSON[string])
		case "rust-program":
			reader = audited(reader)
		case "rpm":
			reader = rpmPackages(reader, r.root)
		case "maven-pom", "gradle-verification", "nuget-config", "nuget-central", "dotnet-project":
			reader = shallow(reader, nesting.XML)
		case "dpkg":
			reader.Read = readDpkg(r.root)
		case "apk":
			reader.Read = readAPK(r.root)
		case "cargo-lock":
			reader = first(shallow(reader, nesting.TOML), func(text string) ([]*inventory.Package, bool, error) {
				packages, ok := cargo.Parse(text)
				return packages, ok, nil
			})
		case "package-lock":
			reader = shallow(first(reader, npm.Parse), nesting.JSON[string])
			read := reader.Read
			reader.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
				if shrinkwrapped(in) {
					return nil, nil
				}
				return read(ctx, in)
			}
		}
		switch r.Name {
		case "dpkg", "apk", "rpm", "pacman", "java-archive", "python-package", "go-program", "rust-program":
			// They are read line by line, or here and there.
		case "poetry-lock", "pdm-lock", "uv-lock", "pylock", "gradle-catalog", "julia-manifest", "nuget-central", "dotnet-project", "cargo-lock", "pnpm-lock", "pubspec-lock", "podfile-lock", "maven-pom", "gradle-verification", "nuget-config", "go-mod":
			reader = weighed(reader, maxTree, gate)
		default:
			reader = weighed(reader, maxText, gate)
		}
		out = append(out, reader)
	}
	return out, errors.Join(problems...)
}

// adapted is a Reader whose Read is an extractor of osv-scalibr; without make it gets one of its
// own.
type adapted struct {
	Reader
	make maker
	root func(file string) (dir, rest string)
}

// database completes the reader of a package manager's database. It lies at one of
// the places, which end with a slash where they are folders, in a root file system;
// that is the tree, or a folder of it.
func database(r Reader, make maker, places ...string) adapted {
	root := func(file string) (dir, rest string) {
		for _, place := range places {
			at := len(file) - len(place)
			if strings.HasSuffix(place, "/") {
				at = strings.LastIndex(file, place)
				if at >= 0 && len(file) == at+len(place) {
					continue
				}
			} else if !strings.HasSuffix(file, place) {
				continue
			}
			if at == 0 || (at > 0 && file[at-1] == '/') {
				return file[:at], file[at:]
			}
		}
		return "", ""
	}
	r.State = inventory.Installed
	r.Wants = func(file string) bool {
		_, rest := root(file)
		return rest != "" && !strings.HasSuffix(rest, ".md5sums")
	}
	return adapted{r, make, root}
}

// shrinkwrapped says whether npm leaves a package-lock.json unread: when a
// npm-shrinkwrap.json lies beside it.
func shrinkwrapped(in Input) bool {
	if path.Base(in.Path) != "package-lock.json" {
		return false
	}
	_, err := in.View.Stat(path.Join(path.Dir(in.Path), "npm-shrinkwrap.json"))
	return err == nil
}

// pythonPackage says whether a file describes an installed Python package.
func pythonPackage(file string) bool {
	dir, base := path.Split(file)
	switch strings.ToLower(base) {
	case "pkg-info":
		return strings.HasSuffix(dir, "EGG-INFO/") || strings.HasSuffix(dir, ".egg-info/")
	case "metadata":
		return strings.HasSuffix(dir, ".dist-info/")
	}
	return true
}

// inFolder says whether a folder of this name is on the way to the file.
func inFolder(file, name string) bool {
	return strings.HasPrefix(file, name+"/") || strings.Contains(file, "/"+name+"/")
}

func words(s string) []string { return strings.Fields(s) }
