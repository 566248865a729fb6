package secret

import (
	"bytes"
	"cmp"
	"slices"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/zricethezav/gitleaks/v8/config"

	"rebuilder/internal/inventory"
)

// NotSearched is the rule of a file that was not searched to its end: it asks for more work than honest files do.
const NotSearched = "not-searched"

const (
	maxFound = 100  // secrets of one file; the first are named
	maxHits  = 2000 // of one file, before those that say the same are put together
)

// Finder finds secrets. It is safe for concurrent use.
type Finder struct {
	rules   []config.Rule // of gitleaks, in its order
	titles  []string      // one each
	allowed []*config.Allowlist
	words   *ahocorasick.Trie
	byWord  [][]int // the rules that a word of words calls for
	always  []int   // the rules that need no word
	reaches map[int]reach
}

// Find returns what is secret in one file, in the order of its lines: Rule, Title, Line, Weak and Mark of each. The path
// says what may be expected: "/root/.netrc"; lines of another origin have a path of their own ("config"). Content is not
// kept.
func (f *Finder) Find(path string, content []byte) []inventory.Secret {
	if slices.ContainsFunc(f.allowed, func(a *config.Allowlist) bool { return a.PathAllowed(path) }) {
		return nil
	}
	hits := slices.Concat(keys(path, content), f.placed(path, content), f.matched(path, content))
	return report(path, content, distinct(hits))
}

// hit is a secret in a file, before what it is itself is forgotten.
type hit struct {
	rule, title string
	start, end  int // in the file
	weak        bool
	// random is what a machine drew; it is hashed into the mark. Empty: a guess might hit it.
	random []byte
}

// distinct takes of hits that overlap the first in the order of trust: a key, what a file is known for, a rule, a rule
// that is often wrong.
func distinct(hits []hit) []hit {
	slices.SortStableFunc(hits, func(a, b hit) int {
		return compareBool(a.weak, b.weak)
	})
	var taken []hit // by start, no two overlapping
	for _, h := range hits {
		i, same := slices.BinarySearchFunc(taken, h.start, func(t hit, start int) int { return cmp.Compare(t.start, start) })
		if same || i > 0 && taken[i-1].end > h.start || i < len(taken) && taken[i].start < h.end {
			continue
		}
		taken = slices.Insert(taken, i, h)
	}
	return taken
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// report is what may be said of hits, which are in order.
func report(path string, content []byte, hits []hit) []inventory.Secret {
	var found []inventory.Secret
	line, at := 1, 0
	for _, h := range hits[:min(maxFound, len(hits))] {
		line += bytes.Count(content[at:h.start], []byte("\n"))
		at = h.start
		found = append(found, inventory.Secret{
			Rule: h.rule, Title: h.title, Path: path, Line: line, Weak: h.weak || forTests(path), Mark: mark(h, path, line),
		})
	}
	return found
}
