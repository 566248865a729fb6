package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Exception lets one finding pass for a while.
type Exception struct {
	ID      string   `json:"id"`
	Finding string   `json:"finding"`           // an advisory by any of its names, or a rule
	Images  []string `json:"images,omitempty"`  // patterns as of path.Match over names in the graph; empty: all
	Package string   `json:"package,omitempty"` // or its source package; empty: any

	Reason   string    `json:"reason"`
	Owner    string    `json:"owner"`
	Approver string    `json:"approver,omitempty"`
	Expires  time.Time `json:"expires"` // it excuses nothing from here on

	State ExceptionState `json:"state,omitempty"` // empty: it stands in the catalog, which is approval
}

// ExceptionState is where an exception is that was asked for while the daemon runs.
type ExceptionState string

const (
	ExceptionRequested ExceptionState = "requested"
	ExceptionApproved  ExceptionState = "approved"
	ExceptionRejected  ExceptionState = "rejected"
	ExceptionRevoked   ExceptionState = "revoked"
)

// Approved says that somebody agreed to it and nobody took that back.
func (e Exception) Approved() bool { return e.State == "" || e.State == ExceptionApproved }

// Expired says that its time is over.
func (e Exception) Expired(now time.Time) bool { return !now.Before(e.Expires) }

// Covers says that it is about a finding in an image, whether or not it excuses it still.
func (e Exception) Covers(s Subject, f Finding) bool {
	if e.Finding == "" || !f.called(e.Finding) || e.Package != "" && e.Package != f.Package && e.Package != f.Source {
		return false
	}
	return matches(e.Images, s.Image)
}

// called says that a finding has a name, whatever the case of its letters.
func (f Finding) called(name string) bool {
	return strings.EqualFold(f.ID, name) || slices.ContainsFunc(f.Aliases, func(a string) bool { return strings.EqualFold(a, name) })
}

// Warning is how long before its end an exception is warned of.
const Warning = 14 * 24 * time.Hour

// exceptions are those for one image, by the name of the finding in upper case.
type exceptions map[string][]Exception

func exceptionsFor(all []Exception, s Subject) exceptions {
	out := exceptions{}
	for _, e := range all {
		if e.Finding != "" && matches(e.Images, s.Image) {
			key := strings.ToUpper(e.Finding)
			out[key] = append(out[key], e)
		}
	}
	return out
}

// of returns the exceptions that cover a finding: the one that excuses it, of several the one that lasts longest; one that
// did until it expired; and one that would if it were approved. Nil: there is none.
func (x exceptions) of(s Subject, f Finding, now time.Time) (excuses, expired, asked *Exception) {
	var covering []Exception
	for _, name := range append([]string{f.ID}, f.Aliases...) {
		for _, e := range x[strings.ToUpper(name)] {
			if e.Covers(s, f) {
				covering = append(covering, e)
			}
		}
	}
	slices.SortFunc(covering, func(a, b Exception) int {
		return cmp.Or(b.Expires.Compare(a.Expires), cmp.Compare(a.ID, b.ID), cmp.Compare(a.State, b.State), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Owner, b.Owner))
	})
	for i := range covering {
		switch e := &covering[i]; {
		case e.Approved() && !e.Expired(now):
			excuses = cmp.Or(excuses, e)
		case e.Approved():
			expired = cmp.Or(expired, e)
		case e.State == ExceptionRequested && !e.Expired(now):
			asked = cmp.Or(asked, e)
		}
	}
	return excuses, expired, asked
}
