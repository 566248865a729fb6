package inventory

import (
	"archive/tar"
	"bufio"
	"bytes"
	"path"
	"strings"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
)

const (
	dpkgInfo     = "/var/lib/dpkg/info"
	maxFileLists = 64 << 20 // bytes of dpkg's lists of files that are kept; libraries in the others are nobody's
)

// isFileList says that a file lists the files of a package of dpkg.
func isFileList(at string) bool {
	return strings.HasSuffix(at, ".list") && strings.HasSuffix(path.Dir(at), "/dpkg/info")
}

// ownership finds the packages to whose files libraries belong.
type ownership struct {
	libraries []Package
	at        map[string][]int // indexes in libraries, by path, and by its other names
	layers    map[string]int   // of the distribution's packages, by name
}

// own fills in the owners of libraries.
func own(libraries []Package, t *tree, db histories) error {
	if len(libraries) == 0 {
		return nil
	}
	o := ownership{libraries: libraries, at: map[string][]int{}, layers: map[string]int{}}
	for _, p := range db.packages() {
		o.layers[p.Name] = max(o.layers[p.Name], p.Layer)
	}
	if len(o.layers) == 0 {
		return nil
	}
	links := rootLinks(t)
	for i, p := range libraries {
		o.at[p.Path] = append(o.at[p.Path], i)
		for link, dir := range links {
			if rest, ok := strings.CutPrefix(p.Path, dir+"/"); ok {
				o.at[link+"/"+rest] = append(o.at[link+"/"+rest], i)
			}
		}
	}
	o.dpkg(t)
	o.distroless(t)
	for _, h := range db {
		if err := o.database(h, t); err != nil {
			return err
		}
	}
	return nil
}

// rootLinks are the links in the root directory: where /bin is one to /usr/bin, packages have files below both.
func rootLinks(t *tree) map[string]string {
	links := map[string]string{}
	for name, n := range t.root.children {
		if n.typ != tar.TypeSymlink {
			continue
		}
		if to, real := t.lookup("/"+name, true); to != nil && to.typ == tar.TypeDir {
			links["/"+name] = real
		}
	}
	return links
}

// claim says that a file is a package's. It is not, any more, where a layer above the package's has written another
// version of the library in its place.
func (o *ownership) claim(owner, at string) {
	layer, installed := o.layers[owner]
	if !installed {
		return
	}
	for _, i := range o.at[at] {
		if p := &o.libraries[i]; p.Owner == "" && p.Layer <= layer {
			p.Owner = owner
		}
	}
}

func (o *ownership) dpkg(t *tree) {
	for _, name := range t.names(dpkgInfo) {
		owner, ok := strings.CutSuffix(name, ".list")
		if !ok {
			continue
		}
		owner, _, _ = strings.Cut(owner, ":")
		for line := range lines(t.content(dpkgInfo + "/" + name)) {
			o.claim(owner, line)
		}
	}
}

// distroless reads what distroless images have in place of dpkg's lists: a checksum and a path a line.
func (o *ownership) distroless(t *tree) {
	for _, name := range t.names(dpkgStatusDir) {
		sums := t.content(dpkgStatusDir + "/" + name + ".md5sums")
		if sums == nil {
			continue
		}
		owner := ""
		_ = readStatus(t.content(dpkgStatusDir+"/"+name), func(p Package) error {
			owner = p.Name
			return nil
		})
		for line := range lines(sums) {
			if _, at, ok := strings.Cut(line, "  "); ok {
				o.claim(owner, "/"+strings.TrimPrefix(at, "/"))
			}
		}
	}
}

// database reads what apk and rpm know of their packages' files.
func (o *ownership) database(h *history, t *tree) error {
	if h.family == Deb || h.state == "" {
		return nil
	}
	files, _, err := h.filesIn(t)
	if err != nil {
		return err
	}
	switch {
	case h.family == APK:
		for _, f := range files {
			o.apk(f.data)
		}
	case path.Base(files[0].at) != path.Base(rpmManifest):
		return rpmPackages(files, func(p *rpmdb.PackageInfo) error {
			o.rpm(p)
			return nil
		})
	}
	return nil
}

// apk reads a database of what is installed: P: is a package's name, F: one of its directories, R: a file in the last one.
func (o *ownership) apk(data []byte) {
	var owner, dir string
	for line := range lines(data) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "P":
			owner = value
		case "F":
			dir = value
		case "R":
			o.claim(owner, path.Join("/", dir, value))
		}
	}
}

func (o *ownership) rpm(p *rpmdb.PackageInfo) {
	for i, base := range p.BaseNames {
		if i >= len(p.DirIndexes) {
			return
		}
		if at := int(p.DirIndexes[i]); at >= 0 && at < len(p.DirNames) {
			o.claim(p.Name, path.Join("/", p.DirNames[at], base))
		}
	}
}

// lines are those of a file, up to one that is absurdly long.
func lines(data []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(bytes.NewReader(data))
		for s.Scan() && yield(s.Text()) {
		}
	}
}
