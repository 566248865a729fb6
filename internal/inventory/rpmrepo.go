package inventory

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
)

const defaultPriority = 99 // dnf's

// repositories are those enabled.
func (d *dnf) repositories() []Repository {
	var all []Repository
	for _, s := range d.repos {
		if !d.flag(s, "enabled", false, true) {
			continue
		}
		if r, ok := d.repository(s); ok {
			all = append(all, r)
		}
	}
	return all
}

// repository makes one of a section; ok is false when it has no address at all. One whose address has a variable that
// nothing defines is listed, with the variable in it, and told of in unknown.
func (d *dnf) repository(s dnfSection) (r Repository, ok bool) {
	base, missing := d.expand(s.options["baseurl"])
	meta, missingMeta := d.expand(s.options["metalink"])
	mirrors, missingList := d.expand(s.options["mirrorlist"])
	r = Repository{
		Type: RPM, ID: s.id, Where: s.file, Architectures: []string{d.arch.arch}, Priority: d.priority(s),
		Unsigned:       !d.flag(s, "repo_gpgcheck", true, false),
		ModuleHotfixes: d.flag(s, "module_hotfixes", false, false),
		Keys:           d.keys(s),
	}
	if urls := splitList(base); len(urls) > 0 {
		r.URI = urls[0]
	}
	switch {
	case meta != "":
		r.Mirrors, r.Metalink = meta, true
	case mirrors != "":
		// librepo takes a mirror list for a metalink when its address says so.
		r.Mirrors, r.Metalink = mirrors, strings.Contains(mirrors, "metalink")
	}
	missing = slices.Concat(missing, missingMeta, missingList)
	switch {
	case r.URI == "" && r.Mirrors == "":
		d.doubt("%s: [%s] has no baseurl, metalink or mirrorlist: it cannot be watched", s.file, s.id)
		return r, false
	case len(missing) > 0:
		d.doubt("%s: [%s] cannot be watched: nothing in the image says what %s is", s.file, s.id, strings.Join(missing, ", "))
	case !r.Unsigned && len(r.Keys) == 0:
		d.doubt("%s: [%s] cannot be watched: it asks for signatures (repo_gpgcheck), and the image has no key for it (gpgkey)", s.file, s.id)
	}
	return r, true
}

func (d *dnf) priority(s dnfSection) int {
	text := s.options["priority"]
	if text == "" {
		return defaultPriority
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		d.doubt("%s: [%s] priority = %.40q: a number expected", s.file, s.id, text)
		return defaultPriority
	}
	return n
}

// keys reads those of gpgkey that lie in the image.
func (d *dnf) keys(s dnfSection) [][]byte {
	var keys [][]byte
	text, _ := d.expand(s.options["gpgkey"])
	for _, uri := range splitList(text) {
		if at, ok := strings.CutPrefix(uri, "file://"); ok {
			keys = appendKey(keys, d.t.content(at))
		} else if strings.HasPrefix(uri, "/") {
			keys = appendKey(keys, d.t.content(uri))
		}
	}
	return keys
}

// releaseProviders are what a distribution's release package provides, in the order in which dnf asks.
func releaseProviders() []string {
	return []string{"system-release(releasever)", "system-release", "distribution-release(releasever)", "distribution-release", "redhat-release", "suse-release"}
}

// releasePackage is the version of the release package, empty when there is none.
func releasePackage(t *tree) (version string) {
	files, _, err := (&history{database: rpm}).filesIn(t)
	if err != nil || len(files) == 0 || files[0].at == rpmManifest {
		return ""
	}
	names := releaseProviders()
	enough := errors.New("enough")
	err = rpmPackages(files, func(p *rpmdb.PackageInfo) error {
		for i, name := range names {
			if slices.Contains(p.Provides, name) {
				names, version = names[:i], p.Version
				break
			}
		}
		if len(names) == 0 {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return ""
	}
	return version
}
