package inventory

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
)

// tree is the merged file system of the layers applied so far.
type tree struct {
	root *node
	last parent // of the entry before, until something else is in a place where it led

	layer        int // being applied
	size         size
	entriesLeft  int
	stepsLeft    int
	namesLeft    int64
	keptLeft     int64
	listsLeft    int64
	databaseLeft int64
	parsedLeft   int64
	secrets      *search // nil when nobody looks for secrets
	librarian    *librarian
	spool        spool
	hash         hash.Hash
	buf          []byte
}

// node is one file. Directories have children.
type node struct {
	children map[string]*node
	file
}

// parent is a directory that an entry is in.
type parent struct {
	dir  string // as the entry has it
	node *node
	real string
}

// file is what a fingerprint looks at, and the content where it is kept. An image may have millions: what few have is
// apart.
type file struct {
	sum      [sha256.Size]byte
	layer    int // that wrote it last
	uid, gid int
	rare     *rare
	mode     uint16
	typ      byte // tar.TypeReg, tar.TypeDir, tar.TypeSymlink, ...
}

// rare is what few files have.
type rare struct {
	link       string // of symlinks
	dev        [2]int64
	capability string // security.capability, raw
	data       []byte // nil unless kept says so
	contents   *contents
	linked     bool // it came as a hard link
}

// more is what few files have, for reading.
func (f *file) more() rare {
	if f.rare == nil {
		return rare{}
	}
	return *f.rare
}

// own is the same, for writing.
func (f *file) own() *rare {
	if f.rare == nil {
		f.rare = new(rare)
	}
	return f.rare
}

func newTree(l Limits) *tree {
	return &tree{
		root:         &node{file: file{typ: tar.TypeDir, mode: 0o755}},
		size:         size{most: l.Unpacked, free: freeBytes},
		entriesLeft:  l.Files,
		stepsLeft:    maxSteps,
		namesLeft:    maxNames,
		keptLeft:     maxKept,
		listsLeft:    maxFileLists,
		databaseLeft: maxDatabases,
		parsedLeft:   maxParsed,
		hash:         sha256.New(),
		buf:          make([]byte, 128<<10),
	}
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// put applies one entry of a layer: a file, or a whiteout of what lower layers have.
func (t *tree) put(h *tar.Header, content io.Reader, layer int) error {
	t.entriesLeft--
	t.namesLeft -= int64(len(h.Name) + len(h.Linkname))
	if err := t.spent(); err != nil {
		return err
	}
	if len(h.Name) > maxPath {
		return fmt.Errorf("a path of %d bytes", len(h.Name))
	}
	p := path.Clean("/" + h.Name)
	if p == "/" {
		return nil
	}
	dir, base := path.Split(p)
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return nil
	case base == opaque:
		t.last = parent{}
		if d, _ := t.walk(dir, nil); d != nil {
			d.hideBelow(layer)
		}
		return nil
	case strings.HasPrefix(base, ".wh..wh."): // bookkeeping of old storage drivers
		return nil
	case strings.HasPrefix(base, whiteout):
		t.last = parent{}
		if d, _ := t.walk(dir, nil); d != nil {
			d.hide(strings.TrimPrefix(base, whiteout), layer)
		}
		return nil
	}
	in, err := t.parent(dir, layer)
	if err != nil {
		return err
	}
	f, err := t.read(h, content, path.Join(in.real, base))
	if err != nil {
		return err
	}
	f.layer = layer
	if old := in.node.children[base]; old != nil {
		f.more().contents.inherit(old.more().contents)
		if old.typ != tar.TypeReg {
			t.last = parent{}
		}
	}
	in.node.set(strings.Clone(base), f) // the path that it is a part of is not kept
	return nil
}

// parent finds the directory of an entry, or makes it. Entries of one directory follow each other.
func (t *tree) parent(dir string, layer int) (parent, error) {
	if t.last.node != nil && t.last.dir == dir {
		return t.last, nil
	}
	n, real := t.walk(dir, &layer)
	if err := t.spent(); err != nil {
		return parent{}, err
	}
	if n == nil {
		return parent{}, errors.New("its directory is a loop of symbolic links")
	}
	t.last = parent{dir, n, real}
	return t.last, nil
}

// spent says which bound of the files is exceeded, if any.
func (t *tree) spent() error {
	switch {
	case t.entriesLeft < 0:
		return errors.New("the image has too many files and directories")
	case t.namesLeft < 0:
		return fmt.Errorf("the names of the image's files have more than %d bytes", int64(maxNames))
	case t.stepsLeft < 0:
		return errors.New("the paths and symbolic links of the image lead through too many directories")
	}
	return nil
}

// set puts a file in place of what is there; a directory over a directory keeps its children.
func (n *node) set(base string, f file) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	old := n.children[base]
	if old != nil && old.typ == tar.TypeDir && f.typ == tar.TypeDir {
		old.file = f
		return
	}
	n.children[base] = &node{file: f}
}

// hide removes what lower layers have under a name.
func (n *node) hide(base string, layer int) {
	child := n.children[base]
	if child == nil {
		return
	}
	child.hideBelow(layer)
	// A directory that holds something of this layer is of this layer, even where the archive leaves it out.
	if child.layer < layer && len(child.children) == 0 {
		delete(n.children, base)
	}
}

func (n *node) hideBelow(layer int) {
	for base := range n.children {
		n.hide(base, layer)
	}
}

// read makes a file of a header and its content.
func (t *tree) read(h *tar.Header, content io.Reader, at string) (file, error) {
	f := file{typ: h.Typeflag, mode: uint16(h.Mode & 0o7777), uid: h.Uid, gid: h.Gid}
	if c := h.PAXRecords["SCHILY.xattr.security.capability"]; len(c) > maxCapability {
		return f, fmt.Errorf("a file capability of %d bytes", len(c))
	} else if c != "" {
		f.own().capability = c
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		f.typ = tar.TypeReg
		return f, t.readContent(&f, h, content, at)
	case tar.TypeLink:
		// Same content under another name; which of the names came first is of no account.
		target, _ := t.lookup(path.Clean("/"+h.Linkname), false)
		if target == nil || target.typ == tar.TypeDir {
			return f, fmt.Errorf("a hard link to %.200q, which is not in the image", h.Linkname)
		}
		f = target.file
		rare := f.more()
		rare.linked = true
		f.rare = &rare
		return f, nil
	case tar.TypeSymlink:
		if len(h.Linkname) > maxPath {
			return f, fmt.Errorf("a symbolic link of %d bytes", len(h.Linkname))
		}
		f.own().link = h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		f.own().dev = [2]int64{h.Devmajor, h.Devminor}
	case tar.TypeDir, tar.TypeFifo:
	default:
		return f, fmt.Errorf("tar entry of unknown type %q", h.Typeflag)
	}
	return f, nil
}

func (t *tree) readContent(f *file, h *tar.Header, content io.Reader, at string) error {
	if err := t.size.addFile(h.Size); err != nil {
		return err
	}
	keep, err := t.keeps(at, h.Size)
	if err != nil {
		return err
	}
	search := t.secrets.wants(at, h.Size)
	form := t.librarian.formOf(at, h)
	if form == program {
		if content, form, err = onlyELF(content); err != nil {
			return err
		}
	}
	t.hash.Reset()
	to := io.Writer(t.hash)
	switch {
	case keep || search:
		t.spool.reset(int(h.Size))
		to = io.MultiWriter(t.hash, &t.spool)
	case form != none && h.Size <= maxLookedInto:
		t.spool.reset(spoolMemory)
		to = io.MultiWriter(t.hash, &t.spool)
	}
	// The wrapper hides io.WriterTo and io.ReaderFrom, which would not use the buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{content}, t.buf); err != nil {
		return err
	}
	t.hash.Sum(f.sum[:0])
	if keep {
		f.own().data = append([]byte{}, t.spool.bytes()...)
	}
	if search {
		if err := t.secrets.add(at, f.sum, t.spool.bytes()); err != nil {
			return err
		}
	}
	return t.lookInto(f, form, at, h.Size)
}

// lookInto has the librarian look into the file that was read last.
func (t *tree) lookInto(f *file, form form, at string, size int64) error {
	switch {
	case form == none:
		return nil
	case size > maxLookedInto:
		f.own().contents = &contents{program: form == program, problem: "it is too large to look into"}
		return nil
	}
	c, err := t.librarian.look(form, at, t.layer, t.spool.content())
	if c != nil {
		f.own().contents = c
	}
	return err
}

// keeps says whether a file's content is wanted later, and refuses wanted ones that are too large.
func (t *tree) keeps(at string, size int64) (bool, error) {
	if isDatabase(at) {
		if size > maxDatabase {
			return false, fmt.Errorf("a package database of %d bytes, more than %d", size, maxDatabase)
		}
		t.databaseLeft -= size
		return t.databaseLeft >= 0, nil
	}
	if isFileList(at) {
		t.listsLeft -= size
		return t.listsLeft >= 0, nil
	}
	wanted := wantedContent(at)
	if !wanted && !isKeyring(at) && !isAccounts(at) {
		return false, nil
	}
	if size > maxFile {
		if wanted {
			return false, fmt.Errorf("it has %d bytes, more than %d", size, maxFile)
		}
		return false, nil // named like a keyring; if it is one, its repository will miss the key
	}
	if t.keptLeft -= size; t.keptLeft < 0 {
		return false, fmt.Errorf("more than %d bytes of package sources and keys", maxKept)
	}
	return true, nil
}

func wantedContent(at string) bool {
	switch at {
	case "/etc/os-release", "/usr/lib/os-release", dpkgForeign:
		return true
	}
	return strings.HasPrefix(at, "/etc/apt/") && strings.Contains(at, "sources.list") ||
		isPreferences(at) || isAPKConfig(at) || isRPMConfig(at) || strings.Contains(at, "/dpkg/status.d/")
}

// isKeyring goes by name: keys may lie anywhere, and which are used is known when all layers have been read.
func isKeyring(at string) bool {
	switch path.Ext(at) {
	case ".gpg", ".asc", ".pgp", ".key":
		return true
	}
	return strings.HasPrefix(at, "/etc/apt/keyrings/") || strings.HasPrefix(at, "/etc/apt/trusted.gpg.d/") ||
		strings.HasPrefix(at, "/usr/share/keyrings/") || isAPKKey(at) || isRPMKey(at)
}

// lookup finds a file, following symbolic links; with last false not the last one. real is its path without links.
func (t *tree) lookup(p string, last bool) (n *node, real string) {
	dir, base := path.Split(path.Clean("/" + p))
	for range 40 {
		d, realDir := t.walk(dir, nil)
		if d == nil {
			return nil, ""
		}
		if base == "" {
			return d, realDir
		}
		n := d.children[base]
		if n == nil || n.typ != tar.TypeSymlink || !last {
			return n, path.Join(realDir, base)
		}
		dir, base = path.Split(target(realDir, n.more().link))
	}
	return nil, ""
}

// content returns a kept file's bytes, nil when there is none.
func (t *tree) content(p string) []byte {
	n, _ := t.lookup(p, true)
	if n == nil {
		return nil
	}
	return n.more().data
}

// names returns the names in a directory, none when there is no such directory.
func (t *tree) names(dir string) []string {
	d, _ := t.walk(dir, nil)
	if d == nil {
		return nil
	}
	return sortedKeys(d.children)
}

// walk finds a directory, following symbolic links as the kernel does when a layer is unpacked over the lower ones.
// With create it makes what is missing, as written by that layer.
func (t *tree) walk(dir string, create *int) (n *node, real string) {
	rest := strings.FieldsFunc(dir, isSlash)
	n = t.root
	at := make([]string, 0, len(rest))
	for follows := 0; len(rest) > 0; {
		if t.stepsLeft--; t.stepsLeft < 0 {
			return nil, ""
		}
		name := rest[0]
		child := n.children[name]
		if child != nil && child.typ == tar.TypeSymlink {
			if follows++; follows > 40 {
				return nil, ""
			}
			to := strings.FieldsFunc(target("/"+strings.Join(at, "/"), child.more().link), isSlash)
			rest = append(to, rest[1:]...)
			n, at = t.root, at[:0]
			continue
		}
		if child == nil || child.typ != tar.TypeDir {
			if create == nil {
				return nil, ""
			}
			if t.entriesLeft--; t.entriesLeft < 0 {
				return nil, ""
			}
			name = strings.Clone(name)
			n.set(name, file{typ: tar.TypeDir, mode: 0o755, layer: *create})
			child = n.children[name]
		}
		n, at, rest = child, append(at, name), rest[1:]
	}
	return n, "/" + strings.Join(at, "/")
}

func isSlash(r rune) bool { return r == '/' }

// target is the absolute path that a symbolic link in dir means.
func target(dir, link string) string {
	if path.IsAbs(link) {
		return path.Clean(link)
	}
	return path.Join(dir, link)
}
