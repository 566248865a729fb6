package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pault.ag/go/debian/control"
	"pault.ag/go/debian/version"
)

// preferred are source packages whose updates make a good story: libraries that everybody has and nobody restarts a build
// for. Others follow by name.
var preferred = []string{"openssl", "xz-utils", "pcre2", "expat", "gnutls28", "zlib", "perl"}

// stanza is what we read of a package index or of a dpkg status file.
type stanza struct {
	Package      string
	Source       string
	Version      version.Version
	Architecture string
	Status       string
}

// source is the source package's name, without its version.
func (s stanza) source() string {
	if s.Source == "" {
		return s.Package
	}
	name, _, _ := strings.Cut(s.Source, " ")
	return name
}

// findUpdate finds one source package of which the root file system has older binaries than the security suite, and
// whose update brings no other package with it. nil when there is none.
func (f *fetcher) findUpdate(ctx context.Context, all *apt, status string) (*Update, error) {
	installed, err := readStanzas(status)
	if err != nil {
		return nil, err
	}
	security, err := f.securityIndex(all)
	if err != nil {
		return nil, err
	}
	for _, u := range newer(installed, security) {
		var names, exact []string
		for _, p := range u.Packages {
			names, exact = append(names, p.Name), append(exact, p.Name+"="+p.To)
		}
		brings, err := all.needs(ctx, exact...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || !slices.Equal(brings, names) {
			continue // it would be held back by `apt-get upgrade`
		}
		if u.Debs, err = f.download(ctx, all, "packages of the security suite", exact); err != nil {
			return nil, err
		}
		return &u, nil
	}
	return nil, nil
}

// securityIndex reads all indexes of the security suites.
func (f *fetcher) securityIndex(all *apt) ([]stanza, error) {
	var found []stanza
	for _, src := range f.sources.Security {
		files, err := all.lists("_dists_" + strings.ReplaceAll(src.Suite, "/", "_") + "_main_binary-" + f.sources.Architecture + "_Packages")
		if err != nil {
			return nil, err
		}
		for _, path := range files {
			s, err := readStanzas(path)
			if err != nil {
				return nil, err
			}
			found = append(found, s...)
		}
	}
	return found, nil
}

// newer groups by source package what is installed and offered in a newer version: the preferred sources first.
func newer(installed, offered []stanza) []Update {
	best := map[string]stanza{}
	for _, o := range offered {
		if b, ok := best[o.Package]; !ok || version.Compare(o.Version, b.Version) > 0 {
			best[o.Package] = o
		}
	}
	bySource := map[string]*Update{}
	for _, i := range installed {
		o, ok := best[i.Package]
		if !ok || !strings.HasSuffix(i.Status, " installed") || version.Compare(o.Version, i.Version) <= 0 {
			continue
		}
		u := bySource[i.source()]
		if u == nil {
			u = &Update{Source: i.source()}
			bySource[i.source()] = u
		}
		u.Packages = append(u.Packages, Upgrade{Name: i.Package, From: i.Version.String(), To: o.Version.String()})
	}
	updates := make([]Update, 0, len(bySource))
	for _, u := range bySource {
		slices.SortFunc(u.Packages, func(a, b Upgrade) int { return strings.Compare(a.Name, b.Name) })
		updates = append(updates, *u)
	}
	slices.SortFunc(updates, func(a, b Update) int {
		if d := rank(a.Source) - rank(b.Source); d != 0 {
			return d
		}
		return strings.Compare(a.Source, b.Source)
	})
	return updates
}

func rank(source string) int {
	if i := slices.Index(preferred, source); i >= 0 {
		return i
	}
	return len(preferred)
}

// maxIndex bounds an index or status file.
const maxIndex = 256 << 20

func readStanzas(path string) ([]stanza, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	dec, err := control.NewDecoder(bufio.NewReader(io.LimitReader(f, maxIndex)), nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	var all []stanza
	for {
		var s stanza
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
		all = append(all, s)
	}
}
