package secret

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
)

const (
	maxMatches = 200 // of one rule in one window
	// maxPasses is how often a file may be searched from end to end, and freePasses how often more a window may be: honest
	// files need a dozen at most.
	maxPasses, freePasses = 16, 32
	lineAround            = 512 // bytes before and after a match that count as its line
	shortest              = 20  // bytes of what a machine drew: fewer might be guessed
)

// doubted are the rules of gitleaks that are often wrong.
var doubted = map[string]bool{"generic-api-key": true}

// chosen are the rules of gitleaks whose secrets people choose, so that a guess may hit them.
var chosen = map[string]bool{
	"curl-auth-header": true, "curl-auth-user": true, "generic-api-key": true, "hashicorp-tf-password": true,
	"kubernetes-secret-yaml": true, "nuget-config-password": true, "sidekiq-sensitive-url": true,
}

// New reads gitleaks' rules.
func New() (*Finder, error) {
	cfg, err := gitleaks()
	if err != nil {
		return nil, fmt.Errorf("the rules of gitleaks: %w", err)
	}
	delete(cfg.Rules, "private-key") // keys looks into them
	f := &Finder{allowed: cfg.Allowlists, rules: cfg.GetOrderedRules(), reaches: map[int]reach{}}
	calls := map[string][]int{}
	for i, r := range f.rules {
		f.titles = append(f.titles, titleOf(r))
		if reach, ok := reaches[r.RuleID]; ok {
			f.reaches[i] = reach
		}
		if len(r.Keywords) == 0 {
			f.always = append(f.always, i)
		}
		for _, word := range r.Keywords {
			calls[word] = append(calls[word], i)
		}
	}
	words := slices.Sorted(maps.Keys(calls))
	for _, word := range words {
		f.byWord = append(f.byWord, calls[word])
	}
	f.words = ahocorasick.NewTrieBuilder().AddStrings(words).Build()
	return f, nil
}

// gitleaks is its default configuration, read as it reads it itself, but by a reader of our own: its own is one for the
// whole process.
func gitleaks() (config.Config, error) {
	v := viper.New()
	v.SetConfigType("toml")
	if err := v.ReadConfig(strings.NewReader(config.DefaultConfig)); err != nil {
		return config.Config{}, err
	}
	var raw config.ViperConfig
	if err := v.Unmarshal(&raw); err != nil {
		return config.Config{}, err
	}
	return raw.Translate()
}

// matched is what the rules of gitleaks find.
func (f *Finder) matched(path string, content []byte) []hit {
	var found []hit
	left := maxPasses*len(content) + freePasses*windowSize
	for w := range windows(content) {
		looks := f.looks(content[w.start:w.end])
		for _, l := range looks {
			left -= l.work()
		}
		if left < 0 || len(found) > maxHits {
			return append(found, hit{rule: NotSearched, title: "file not searched from here on", start: w.start, end: w.start, weak: true})
		}
		for _, l := range looks {
			found = append(found, f.try(l, path, content, w)...)
		}
	}
	return found
}

// try is what one look finds in one window.
func (f *Finder) try(l look, path string, content []byte, w window) []hit {
	r := f.rules[l.rule]
	switch {
	case r.Path != nil && !r.Path.MatchString(path), pathAllowed(r, path):
		return nil
	case r.Regex == nil && w.start > 0:
		return nil // known by the path alone, and said once
	case r.Regex == nil:
		return []hit{{rule: r.RuleID, title: f.titles[l.rule]}}
	}
	text := content[w.start:w.end]
	var found []hit
	for m := range l.matches(r.Regex, text) {
		if w.cutBefore && m[0] == 0 || w.cutAfter && m[1] == len(text) {
			continue // a part of something that another window has whole
		}
		start, end := group(m, r.SecretGroup)
		if r.Entropy != 0 && entropy(text[start:end]) <= r.Entropy || f.excused(r, path, text, m, start, end) {
			continue
		}
		h := hit{rule: r.RuleID, title: f.titles[l.rule], start: w.start + start, end: w.start + end, weak: doubted[r.RuleID]}
		if !chosen[r.RuleID] && end-start >= shortest {
			h.random = text[start:end]
		}
		found = append(found, h)
	}
	return found
}

// group is the part of a match that is the secret: the group that the rule names, or the first with something in it, or
// all of it.
func group(m []int, named int) (start, end int) {
	if named > 0 && m[2*named] >= 0 {
		return m[2*named], m[2*named+1]
	}
	for g := 2; g < len(m); g += 2 {
		if m[g] >= 0 && m[g+1] > m[g] {
			return m[g], m[g+1]
		}
	}
	return m[0], m[1]
}

// pathAllowed says that a rule does not look at a path.
func pathAllowed(r config.Rule, path string) bool {
	return slices.ContainsFunc(r.Allowlists, func(a *config.Allowlist) bool {
		if a.MatchCondition == config.AllowlistMatchAnd && len(a.Regexes)+len(a.StopWords) > 0 {
			return false // the content counts too
		}
		return a.PathAllowed(path)
	})
}

// excused says that one of gitleaks' lists knows a match as no secret.
func (f *Finder) excused(r config.Rule, path string, text []byte, m []int, start, end int) bool {
	secret := string(text[start:end])
	says := func(a *config.Allowlist) bool {
		target := secret
		switch a.RegexTarget {
		case "match":
			target = string(text[m[0]:m[1]])
		case "line":
			target = string(lineOf(text, m[0], m[1]))
		}
		stopped, _ := a.ContainsStopWord(secret)
		if a.MatchCondition != config.AllowlistMatchAnd {
			return stopped || a.RegexAllowed(target)
		}
		return (len(a.Paths) == 0 || a.PathAllowed(path)) && (len(a.Regexes) == 0 || a.RegexAllowed(target)) && (len(a.StopWords) == 0 || stopped)
	}
	return slices.ContainsFunc(f.allowed, says) || slices.ContainsFunc(r.Allowlists, says)
}

// lineOf is what stands around a match, within its lines.
func lineOf(text []byte, start, end int) []byte {
	from, to := max(0, start-lineAround), min(len(text), end+lineAround)
	if i := bytes.LastIndexByte(text[from:start], '\n'); i >= 0 {
		from += i + 1
	}
	if i := bytes.IndexByte(text[end:to], '\n'); i >= 0 {
		to = end + i
	}
	return text[from:to]
}

// entropy is Shannon's, in bits a character, counted as gitleaks does: its rules name bounds of it.
func entropy(b []byte) float64 {
	counts := map[rune]int{}
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		counts[r]++
		rest = rest[n:]
	}
	sum, inv := 0.0, 1/float64(max(1, len(b)))
	for _, n := range slices.SortedFunc(maps.Values(counts), cmp.Compare[int]) { // in one order: sums of floats depend on it
		p := float64(n) * inv
		sum -= p * math.Log2(p)
	}
	return sum
}
