package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"rebuilder/internal/inventory"
	"rebuilder/internal/sbom"
)

// identity is a package as all name it.
type identity struct{ kind, name, version string }

func (p identity) String() string { return p.kind + " " + p.name + " " + p.version }

// packages are identities with the places where they were found.
type packages map[identity][]string

// add takes a package in by its URL, the way that all three tools write the same thing differently taken away: a v before
// the versions of Go, an epoch as a qualifier or a part of the version, names of Python.
func (all packages) add(url, at string) error {
	p, err := packageurl.FromString(url)
	if err != nil {
		return err
	}
	id := identity{kind: p.Type, name: p.Name, version: p.Version}
	if e := p.Qualifiers.Map()["epoch"]; e != "" {
		id.version = e + ":" + id.version
	}
	switch p.Type {
	case inventory.Golang:
		id.name, id.version = strings.TrimPrefix(p.Namespace+"/"+p.Name, "/"), strings.TrimPrefix(id.version, "v")
	case inventory.NPM:
		id.name = strings.TrimPrefix(p.Namespace+"/"+p.Name, "/")
	case inventory.Maven:
		id.name = strings.TrimPrefix(p.Namespace+":"+p.Name, ":")
	}
	id.version = strings.TrimPrefix(id.version, "0:")
	if !slices.Contains(all[id], at) {
		all[id] = append(all[id], at)
	}
	return nil
}

func ourPackages(inv *inventory.Inventory) packages {
	all := packages{}
	for _, p := range inv.Packages {
		_ = all.add(sbom.PackageURL(inv.OS, p), p.Path)
	}
	return all
}

// report runs a program that writes JSON, unless it did before.
func report(ctx context.Context, path string, into any, program string, args ...string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "SYFT_CHECK_FOR_APP_UPDATE=false", "TRIVY_DISABLE_TELEMETRY=true", "TRIVY_SKIP_VERSION_CHECK=true")
		cmd.Stderr = &said
		if data, err = cmd.Output(); err != nil {
			return fmt.Errorf("%s: %w: %s", program, err, said.String())
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, into)
}

func syftPackages(ctx context.Context, c config, i *image) (packages, error) {
	var said struct {
		Artifacts []struct {
			Name, Version, Type, PURL string
			Locations                 []struct{ Path string }
		}
	}
	err := report(ctx, filepath.Join(c.work, i.name+".syft.json"), &said, c.program("syft"), "scan", "oci-dir:"+i.layout, "--output", "json", "--quiet")
	all := packages{}
	for _, a := range said.Artifacts {
		at := ""
		if len(a.Locations) > 0 {
			at = a.Locations[0].Path
		}
		if a.PURL == "" || all.add(a.PURL, at) != nil {
			all[identity{a.Type, a.Name, a.Version}] = []string{at}
		}
	}
	return all, err
}

func trivyPackages(ctx context.Context, c config, i *image) (packages, error) {
	var said struct {
		Components []struct {
			Type, PURL, Name, Version string
			Properties                []struct{ Name, Value string }
		}
	}
	if err := writeJava(c.trivyCache()); err != nil {
		return nil, err
	}
	err := report(ctx, filepath.Join(c.work, i.name+".trivy.json"), &said, c.program("trivy"), "image", "--input", i.layout, "--format", "cyclonedx",
		"--offline-scan", "--skip-java-db-update", "--cache-dir", c.trivyCache(), "--cache-backend", "memory", "--quiet")
	all := packages{}
	for _, p := range said.Components {
		at := ""
		for _, fact := range p.Properties {
			if fact.Name == "aquasecurity:trivy:FilePath" {
				at = fact.Value
			}
		}
		if p.Type == "library" && (p.PURL == "" || all.add(p.PURL, at) != nil) {
			all[identity{"", p.Name, p.Version}] = []string{at}
		}
	}
	return all, err
}

// compareInventories prints how many packages of each type all found, and those that not all did.
func (i *image) compareInventories(w io.Writer) {
	fmt.Fprintf(w, "\n# %s: packages\n", i.name)
	kinds := map[string][3]int{}
	union := map[identity]bool{}
	for n, found := range []packages{i.ours, i.syft, i.trivy} {
		for p := range found {
			count := kinds[p.kind]
			count[n]++
			kinds[p.kind], union[p] = count, true
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(w, "%-8s rebuilder %d syft %d trivy %d\n", kind, kinds[kind][0], kinds[kind][1], kinds[kind][2])
	}
	for _, p := range slices.SortedFunc(maps.Keys(union), func(a, b identity) int { return strings.Compare(a.String(), b.String()) }) {
		if who := i.who(p); len(who) < 3 {
			fmt.Fprintf(w, "  %s: only %s\n", p, strings.Join(who, ", "))
		}
	}
}

// who found a package, and where.
func (i *image) who(p identity) (who []string) {
	for _, f := range []struct {
		name  string
		found packages
	}{{"rebuilder", i.ours}, {"syft", i.syft}, {"trivy", i.trivy}} {
		if at, ok := f.found[p]; ok {
			who = append(who, strings.TrimSpace(f.name+" "+strings.Join(at, " ")))
		}
	}
	return who
}
