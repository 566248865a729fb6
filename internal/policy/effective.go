package policy

import (
	"path"
	"slices"
	"time"
)

// Level says what a rule does.
type Level string

const (
	LevelOff     Level = "off"     // what it finds is not shown
	LevelObserve Level = "observe" // shown, and fails nothing
	LevelEnforce Level = "enforce"
)

// Policy is a set of rules for some images, as the catalog has it.
type Policy struct {
	Name   string
	Images []string          // patterns as of path.Match over names in the graph; empty: all
	Match  map[string]string // labels that an image must have; empty: all

	Vulnerabilities, Secrets Level            // empty: not said
	Rules                    map[string]Level // hygiene, by the rule's id

	// Of vulnerabilities; what is empty or nil is not said.
	Severity    Severity // they count from here on
	OnlyFixable *bool    // they count only when there is a fix
	Grace       *time.Duration
	Exploited   *bool    // what is known to be exploited counts whatever its severity, and has no grace
	EPSS        *float64 // what is at least so likely to be exploited counts whatever its severity

	// What rules of hygiene need to know.
	ForbidPackages, RequirePackages, RequireLabels, AllowSetuid []string
	MaxSize                                                     int64 // bytes
	MaxAge                                                      time.Duration
}

// For says that the policy is for an image.
func (p Policy) For(s Subject) bool {
	for label, value := range p.Match {
		if got, ok := s.Labels[label]; !ok || got != value {
			return false
		}
	}
	return matches(p.Images, s.Image)
}

// matches says that a name is among patterns; none are all. A pattern that is none matches nothing.
func matches(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// Said is a value and the policy that says it; empty: none does.
type Said[T any] struct {
	Value T      `json:"value"`
	By    string `json:"by,omitempty"`
}

// Effective is what holds for one image: of all policies for it, the last that says something.
type Effective struct {
	Policies []string `json:"policies"` // that are for it, by name, in their order

	Vulnerabilities Said[Level]            `json:"vulnerabilities"`
	Secrets         Said[Level]            `json:"secrets"`
	Rules           map[string]Said[Level] `json:"rules"` // that are named; others are observed, or OffByDefault

	Severity    Said[Severity]      `json:"severity"`
	OnlyFixable Said[bool]          `json:"only_fixable"`
	Grace       Said[time.Duration] `json:"grace"`
	Exploited   Said[bool]          `json:"exploited"`
	EPSS        Said[float64]       `json:"epss"` // 0: not said

	ForbidPackages  Said[[]string]      `json:"forbid_packages"`
	RequirePackages Said[[]string]      `json:"require_packages"`
	RequireLabels   Said[[]string]      `json:"require_labels"`
	AllowSetuid     Said[[]string]      `json:"allow_setuid"`
	MaxSize         Said[int64]         `json:"max_size"`
	MaxAge          Said[time.Duration] `json:"max_age"`
}

// For returns what holds for an image. Without a policy nothing fails: everything is shown, but for rules that are
// OffByDefault.
func For(policies []Policy, s Subject) Effective {
	e := Effective{
		Policies:        []string{},
		Vulnerabilities: Said[Level]{Value: LevelObserve},
		Secrets:         Said[Level]{Value: LevelObserve},
		Severity:        Said[Severity]{Value: SeverityUnknown},
		Rules:           map[string]Said[Level]{},
	}
	for _, p := range policies {
		if p.For(s) {
			e.add(p)
		}
	}
	return e
}

func (e *Effective) add(p Policy) {
	e.Policies = append(e.Policies, p.Name)
	say(&e.Vulnerabilities, p, p.Vulnerabilities, p.Vulnerabilities != "")
	say(&e.Secrets, p, p.Secrets, p.Secrets != "")
	for id, level := range p.Rules {
		e.Rules[id] = Said[Level]{level, p.Name}
	}
	say(&e.Severity, p, p.Severity, p.Severity != "")
	sayGiven(&e.OnlyFixable, p, p.OnlyFixable)
	sayGiven(&e.Grace, p, p.Grace)
	sayGiven(&e.Exploited, p, p.Exploited)
	sayGiven(&e.EPSS, p, p.EPSS)
	say(&e.ForbidPackages, p, p.ForbidPackages, len(p.ForbidPackages) > 0)
	say(&e.RequirePackages, p, p.RequirePackages, len(p.RequirePackages) > 0)
	say(&e.RequireLabels, p, p.RequireLabels, len(p.RequireLabels) > 0)
	say(&e.AllowSetuid, p, p.AllowSetuid, len(p.AllowSetuid) > 0)
	say(&e.MaxSize, p, p.MaxSize, p.MaxSize > 0)
	say(&e.MaxAge, p, p.MaxAge, p.MaxAge > 0)
}

func say[T any](to *Said[T], p Policy, value T, said bool) {
	if said {
		*to = Said[T]{value, p.Name}
	}
}

func sayGiven[T any](to *Said[T], p Policy, value *T) {
	if value != nil {
		*to = Said[T]{*value, p.Name}
	}
}

// level returns what a finding's rule does.
func (e *Effective) level(f Finding) Said[Level] {
	switch f.Kind {
	case Vulnerability:
		return e.Vulnerabilities
	case Secret:
		return e.Secrets
	}
	if said, ok := e.Rules[f.ID]; ok {
		return said
	}
	if OffByDefault(f.ID) {
		return Said[Level]{Value: LevelOff}
	}
	return Said[Level]{Value: LevelObserve}
}
