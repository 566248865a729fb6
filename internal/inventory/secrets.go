package inventory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of the search for secrets. What exceeds them is not searched.
const (
	maxSearched     = 512 << 10 // bytes of one file
	maxSearchedAll  = 64 << 20  // bytes of all files: made to be slow, a megabyte takes seconds
	maxSecrets      = 1000      // of an image
	searchAhead     = 16        // files that wait for the searcher
	binaryBeginning = 8000      // bytes in which a file with a zero is binary: git's rule
)

// search looks for secrets in a goroutine of its own, as it is slow by the byte, while the next files are read.
type search struct {
	ctx  context.Context
	find func(path string, content []byte) []Secret
	todo chan searched
	done chan struct{}

	// Of the reading goroutine.
	layer    int
	left     int64
	seen     map[occurrence]bool
	passed   int // files that were too many
	finished bool

	// Of the searching one, until done.
	found    []foundSecret
	dropped  int
	panicked []string
}

// occurrence is a content under a path, in whatever layers.
type occurrence struct {
	path string
	sum  [sha256.Size]byte
}

type searched struct {
	occurrence
	layer   int
	content []byte
}

type foundSecret struct {
	Secret
	sum [sha256.Size]byte
}

// newSearch starts a search; a nil find is none. It must be stopped.
func newSearch(ctx context.Context, find func(string, []byte) []Secret) *search {
	if find == nil {
		return nil
	}
	s := &search{ctx: ctx, find: find, todo: make(chan searched, searchAhead), done: make(chan struct{}), left: maxSearchedAll, seen: map[occurrence]bool{}}
	go s.run()
	return s
}

// stop ends the search, without waiting for a find that hangs.
func (s *search) stop() {
	if s != nil && !s.finished {
		s.finished = true
		close(s.todo)
	}
}

// wants says whether a file is searched, going by its name and size.
func (s *search) wants(at string, size int64) bool {
	if s == nil || size == 0 || size > maxSearched || isDatabase(at) {
		return false
	}
	for _, dir := range []string{"/usr/share/", "/usr/lib/", "/usr/include/", "/lib/apk/db/", "/var/lib/dpkg/"} {
		if strings.HasPrefix(at, dir) {
			return false
		}
	}
	return true
}

// add searches a file. It is searched once, in however many layers the same content is there.
func (s *search) add(at string, sum [sha256.Size]byte, content []byte) error {
	o := occurrence{at, sum}
	if s.seen[o] || bytes.IndexByte(content[:min(len(content), binaryBeginning)], 0) >= 0 {
		return nil
	}
	if s.left -= int64(len(content)); s.left < 0 {
		s.passed++
		return nil
	}
	s.seen[o] = true
	return s.send(searched{o, s.layer, bytes.Clone(content)})
}

func (s *search) send(one searched) error {
	select {
	case s.todo <- one:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *search) run() {
	defer close(s.done)
	for one := range s.todo {
		for _, secret := range s.findIn(one) {
			if len(s.found) >= maxSecrets {
				s.dropped++
				continue
			}
			secret.Path, secret.Layer, secret.Deleted = one.path, one.layer, false
			s.found = append(s.found, foundSecret{secret, one.sum})
		}
	}
}

// findIn is find, whose panic is a sentence.
func (s *search) findIn(one searched) (found []Secret) {
	defer func() {
		if r := recover(); r != nil {
			s.panicked, found = append(s.panicked, shown(one.path)), nil
		}
	}()
	if s.ctx.Err() != nil {
		return nil
	}
	return s.find(one.path, one.content)
}

// configPath is what stands for the configuration where a secret's file is named.
const configPath = "config"

// finish searches the configuration, too, and writes down what was found in all of the image.
func (s *search) finish(t *tree, cfg *v1.ConfigFile, inv *Inventory) error {
	if s == nil {
		return nil
	}
	s.layer = -1
	if err := s.send(searched{occurrence{path: configPath}, -1, []byte(configText(cfg))}); err != nil {
		return err
	}
	s.stop()
	select {
	case <-s.done:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	inv.SecretsRead = true
	inv.Secrets = s.secrets(t)
	inv.SecretsUnknown = s.unknown()
	return nil
}

// secrets are those found, each once in a file.
func (s *search) secrets(t *tree) []Secret {
	links := s.links(t)
	var all []Secret
	for _, f := range s.found {
		if f.Path != configPath {
			n, _ := t.lookup(f.Path, false)
			f.Deleted = n == nil || n.sum != f.sum
		}
		if f.Deleted && links[f.sum] != "" {
			f.Deleted, f.Path = false, links[f.sum]
		}
		all = append(all, f.Secret)
	}
	slices.SortStableFunc(all, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Mark, b.Mark), compareBools(a.Deleted, b.Deleted), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Line, b.Line))
	})
	// Another version of a file is another file, but what a reader is told of is the secret.
	all = slices.CompactFunc(all, func(a, b Secret) bool { return a.Path == b.Path && a.Rule == b.Rule && a.Mark == b.Mark })
	slices.SortStableFunc(all, func(a, b Secret) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// links finds the hard links by which contents with secrets are still there.
func (s *search) links(t *tree) map[[sha256.Size]byte]string {
	sums := map[[sha256.Size]byte]string{}
	for _, f := range s.found {
		sums[f.sum] = ""
	}
	if len(sums) == 0 {
		return nil
	}
	t.root.each("", func(at string, n *node) {
		if known, ok := sums[n.sum]; ok && known == "" && n.more().linked {
			sums[n.sum] = at
		}
	})
	return sums
}

// each calls f for all below a directory, in the order of names.
func (n *node) each(at string, f func(at string, n *node)) {
	for _, name := range sortedKeys(n.children) {
		child, p := n.children[name], at+"/"+name
		f(p, child)
		child.each(p, f)
	}
}

// unknown says what was not searched.
func (s *search) unknown() []string {
	var said []string
	if s.passed > 0 {
		said = append(said, fmt.Sprintf("%d files were not searched for secrets: there are more than %d bytes of them", s.passed, maxSearchedAll))
	}
	if s.dropped > 0 {
		said = append(said, fmt.Sprintf("of %d secrets only %d are listed", maxSecrets+s.dropped, maxSecrets))
	}
	if n := len(s.panicked); n > 0 {
		said = append(said, fmt.Sprintf("the search for secrets failed in %d files (%s)", n, strings.Join(s.panicked[:min(n, named)], ", ")))
	}
	return said
}
