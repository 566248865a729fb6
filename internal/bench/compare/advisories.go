package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
)

// record is what is read of an OSV record.
type record struct {
	ID        string     `json:"id"`
	Modified  string     `json:"modified"`
	Withdrawn string     `json:"withdrawn,omitempty"`
	Aliases   []string   `json:"aliases,omitempty"`
	Upstream  []string   `json:"upstream,omitempty"`
	Related   []string   `json:"related,omitempty"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges []ranges `json:"ranges"`
}

type ranges struct {
	Type   string              `json:"type"`
	Events []map[string]string `json:"events"`
}

var isCVE = regexp.MustCompile(`^CVE-[0-9]+-[0-9]+$`).MatchString

// vulnerabilities are the CVEs that a record is about; without any it stands for itself.
func (r record) vulnerabilities() []string {
	names := slices.Concat([]string{r.ID}, r.Aliases, r.Upstream)
	if strings.HasPrefix(r.ID, "ALSA-") { // AlmaLinux says so of what it fixes
		names = append(names, r.Related...)
	}
	var cves []string
	for _, n := range names {
		if isCVE(n) {
			cves = append(cves, n)
		}
	}
	if cves == nil {
		return []string{r.ID}
	}
	return cves
}

// interval are versions from, which is among them, to, which is not unless it is the last. No bound is empty.
type interval struct {
	from, to string
	last     bool
}

// intervals are the versions that are affected.
func (a affected) intervals() (all []interval) {
	for _, r := range a.Ranges {
		if r.Type == "GIT" {
			continue
		}
		open := false
		for _, e := range r.Events {
			if v, ok := e["introduced"]; ok {
				if v == "0" { // before all versions
					v = ""
				}
				all, open = append(all, interval{from: v}), true
			}
			for _, kind := range []string{"fixed", "last_affected"} {
				if v, ok := e[kind]; ok && open {
					all[len(all)-1].to, all[len(all)-1].last, open = v, kind == "last_affected", false
				}
			}
		}
	}
	return all
}

// constraint is an interval in the words that Trivy and Grype share.
func (i interval) constraint() string {
	var parts []string
	if i.from != "" {
		parts = append(parts, ">= "+i.from)
	}
	if i.to != "" {
		sign := "< "
		if i.last {
			sign = "<= "
		}
		parts = append(parts, sign+i.to)
	}
	return strings.Join(parts, ", ")
}

// madeID begins the ids of records that are made.
const madeID = "CVE-2099-"

// made is the file of the records that are made for the packages at hand.
func (c config) made() string { return filepath.Join(c.work, "made.zip") }

// allRecords are the advisories that are given, and three for each package, so that each package's name and version are
// put to the test: one for all versions, one that the version at hand fixes, and one that the version of another package
// fixes, which may be any.
func allRecords(c config, images []*image) ([]record, error) {
	records, err := given(c.advisories)
	if err != nil {
		return nil, err
	}
	versions := map[[2]string]string{} // by ecosystem and name
	for _, i := range images {
		for _, p := range i.inv.Packages {
			if eco := ecosystem(i.inv.OS, p.Type); p.Type == inventory.Deb || p.Type == inventory.APK {
				versions[[2]string{eco, p.Source}] = p.SourceVersion
			} else {
				versions[[2]string{eco, p.Name}] = strings.TrimPrefix(p.Version, "v")
			}
		}
		for _, others := range []packages{i.syft, i.trivy} {
			for p := range others {
				if key := [2]string{libraries[p.kind], p.name}; key[0] != "" && versions[key] == "" && p.version != "" {
					versions[key] = p.version
				}
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(versions), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var made []record
	add := func(key [2]string, events ...map[string]string) {
		r := record{ID: fmt.Sprintf("%s%05d", madeID, len(made)), Modified: "2026-01-01T00:00:00Z", Affected: make([]affected, 1)}
		r.Affected[0].Package.Ecosystem, r.Affected[0].Package.Name = key[0], key[1]
		r.Affected[0].Ranges = []ranges{{"ECOSYSTEM", append([]map[string]string{{"introduced": "0"}}, events...)}}
		made = append(made, r)
	}
	for n, key := range keys {
		if epoch, _, ok := strings.Cut(versions[key], ":"); strings.HasPrefix(key[0], "AlmaLinux") { // whose advisories all have a fix
			if !ok {
				epoch = "0"
			}
			add(key, map[string]string{"fixed": epoch + ":99999999-1"})
		} else {
			add(key)
		}
		add(key, map[string]string{"fixed": versions[key]})
		if next := keys[(n+1)%len(keys)]; next[0] == key[0] {
			add(key, map[string]string{"fixed": versions[next]})
		}
	}
	return append(records, made...), write(c.made(), made)
}

// libraries are OSV's names of ecosystems, by the type in package URLs.
var libraries = map[string]string{inventory.Golang: "Go", inventory.Maven: "Maven", inventory.NPM: "npm", inventory.PyPI: "PyPI"}

func ecosystem(os inventory.OS, kind string) string {
	major, _, _ := strings.Cut(os.Version, ".")
	switch kind {
	case inventory.Deb:
		return "Debian:" + major
	case inventory.APK:
		return "Alpine:v" + strings.Join(strings.Split(os.Version, ".")[:2], ".")
	case inventory.RPM:
		return "AlmaLinux:" + major
	}
	return libraries[kind]
}

// given reads the records of all zip files below a directory.
func given(dir string) (all []record, err error) {
	return all, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".zip" {
			return err
		}
		z, err := zip.OpenReader(path)
		if err != nil {
			return err
		}
		defer z.Close()
		for _, f := range z.File {
			var r record
			in, err := f.Open()
			if err == nil {
				err = errors.Join(json.NewDecoder(in).Decode(&r), in.Close())
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", path, f.Name, err)
			}
			if r.Withdrawn == "" {
				all = append(all, r)
			}
		}
		return nil
	})
}

func write(path string, records []record) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, r := range records {
		w, err := z.Create(r.ID + ".json")
		if err == nil {
			err = json.NewEncoder(w).Encode(r)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(z.Close(), f.Close())
}
