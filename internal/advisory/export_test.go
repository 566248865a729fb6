package advisory

import (
	"io"

	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// SeverityOf is how bad a record says that the first package is.
func SeverityOf(raw []byte) (policy.Severity, float64, error) {
	r, err := parse(raw, nil)
	if err != nil {
		return "", 0, err
	}
	a, err := stored(matchOf(r))
	if err != nil {
		return "", 0, err
	}
	s := a.scored(r.Advisory)
	return s.severity, s.score, nil
}

// Parse parses a record and matches a version by all that it has.
func Parse(raw []byte, version string) error {
	r, err := parse(raw, nil)
	if err != nil {
		return err
	}
	for _, p := range r.Packages {
		a, err := stored(store.AdvisoryMatch{AdvisoryPackage: p, Advisory: r.Advisory})
		if err != nil {
			return err
		}
		_, _, _ = a.hits(family(p.Ecosystem), version)
	}
	return nil
}

func matchOf(r store.AdvisoryRecord) store.AdvisoryMatch {
	return store.AdvisoryMatch{AdvisoryPackage: r.Packages[0], Advisory: r.Advisory}
}

// Hits evaluates one range: events are a kind and a version in turn.
func Hits(family, version string, events ...string) (hit bool, fix string, err error) {
	var all []event
	for i := 0; i+1 < len(events); i += 2 {
		all = append(all, event{events[i], events[i+1]})
	}
	return affects{Ranges: [][]event{sorted(family, all)}}.hits(family, version)
}

// ReadList reads a list and returns how many it names.
func ReadList(kind Kind, r io.Reader) (int, error) {
	l := &list{names: map[string]bool{}, save: func([]store.AdvisoryFact) (int, error) { return 0, nil }}
	err := readList(kind, r, l)
	return len(l.names), err
}
