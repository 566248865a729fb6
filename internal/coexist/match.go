package coexist

import (
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// truth is yes, no, or not to be known.
type truth int

const (
	no truth = iota
	maybe
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// and is yes when both are, or when one is the less.
func (t truth) and(o truth) truth { return min(t, o) }

func (t truth) not() truth { return yes - t }

const (
	maxPattern = 512 // bytes
	maxBraces  = 3   // each may double the work
)

// glob matches as minimatch does in the bots: ** crosses directories, and a * does not.
func glob(pattern, s string) truth {
	if len(pattern) > maxPattern || strings.Count(pattern, "{") > maxBraces {
		return maybe
	}
	ok, err := doublestar.Match(strings.ToLower(pattern), strings.ToLower(s))
	if err != nil {
		return maybe
	}
	return truthOf(ok)
}

// expression matches a regular expression anywhere in s. What Go's engine does not take is not known.
func expression(pattern, s string) truth {
	if len(pattern) > maxPattern {
		return maybe
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return maybe
	}
	return truthOf(re.MatchString(s))
}

// pattern matches one of Renovate's: "*", "/expression/i", or a glob.
func pattern(p, s string) truth {
	if p == "*" {
		return yes
	}
	if body, ok := strings.CutPrefix(p, "/"); ok {
		if re, ok := strings.CutSuffix(body, "/i"); ok {
			return expression("(?i)"+re, s)
		}
		if re, ok := strings.CutSuffix(body, "/"); ok {
			return expression(re, s)
		}
	}
	return glob(p, s)
}

// patterns matches a list of Renovate's: one that is wanted must match, and none that begins with "!".
func patterns(list []string, s string) truth {
	if len(list) == 0 {
		return no
	}
	wanted, found, allowed := false, no, yes
	for _, p := range list {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			allowed = allowed.and(pattern(not, s).not())
			continue
		}
		wanted = true
		found = max(found, pattern(p, s))
	}
	if !wanted {
		return allowed
	}
	return found.and(allowed)
}

// some is the best of what f says of a list's texts.
func some(list []string, f func(string) truth) (best truth) {
	for _, p := range list {
		best = max(best, f(p))
	}
	return best
}
