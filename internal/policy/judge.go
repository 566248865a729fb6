package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Input is everything that a verdict rests on.
type Input struct {
	Subject    Subject
	Findings   []Finding
	Policies   []Policy    // in the catalog's order
	Exceptions []Exception // the catalog's and those that were asked for, whatever their state
	VEX        []Statement
	// Unknown is what could not be looked at for vulnerabilities, a sentence each: "no advisories for Alpine 3.22".
	Unknown []string
	// UnknownSecrets is what could not be looked at for secrets, a sentence each.
	UnknownSecrets []string
	Now            time.Time
}

// Verdict is what the policies make of an image.
type Verdict struct {
	Outcome  VerdictOutcome `json:"outcome"`
	Policies []string       `json:"policies"` // that are for it, by name
	Findings []Judged       `json:"findings"` // what fails first, then the worst first
	// Outcomes counts Findings; Off is what rules that are off have found, and is shown nowhere else.
	Outcomes map[Outcome]int `json:"outcomes"`
	Off      int             `json:"off,omitempty"`
	// Vulnerabilities counts those that are open, by severity: all severities, the worst first.
	Vulnerabilities []Count  `json:"vulnerabilities"`
	Unknown         []string `json:"unknown,omitempty"` // as given, what is not known of secrets last
	// Expired are exceptions that would excuse a finding if their time were not over, Expiring those that excuse one and
	// end soon; see Warning.
	Expired  []Exception `json:"expired_exceptions,omitempty"`
	Expiring []Exception `json:"expiring_exceptions,omitempty"`
	// Next is when a grace or an exception ends, and with it, perhaps, the outcome; zero: it does not change by itself.
	Next time.Time `json:"next,omitzero"`
}

// VerdictOutcome is a verdict in one word.
type VerdictOutcome string

const (
	Pass VerdictOutcome = "pass"
	Fail VerdictOutcome = "fail"
	// Undecided: nothing fails, but vulnerabilities or secrets are enforced, and not all of those could be looked for.
	Undecided VerdictOutcome = "unknown"
)

// Outcome is what became of one finding.
type Outcome string

const (
	Fails       Outcome = "fails"
	Observed    Outcome = "observed"     // it counts, and nothing enforces it
	Grace       Outcome = "grace"        // it counts from some time on
	Below       Outcome = "below"        // it does not count: less severe than the policy asks for, or without a fix
	Excepted    Outcome = "excepted"     // by an exception
	NotAffected Outcome = "not-affected" // by a statement
)

// Outcomes are all, in the order in which findings are shown.
func Outcomes() []Outcome {
	return []Outcome{Fails, Grace, Observed, Below, Excepted, NotAffected}
}

// Open says that the finding is there and nobody has accepted it.
func (o Outcome) Open() bool { return o != Excepted && o != NotAffected }

// Judged is a finding and what became of it.
type Judged struct {
	Finding
	Outcome Outcome `json:"outcome"`
	Policy  string  `json:"policy,omitempty"` // that decided; empty: none speaks of it
	Reason  string  `json:"reason"`           // which rule decided, in words
	// Until is when the grace or the exception ends.
	Until time.Time `json:"until,omitzero"`
	// Exception excuses it; Expired did, and Asked would if it were approved.
	Exception *Exception `json:"exception,omitempty"`
	Expired   *Exception `json:"expired_exception,omitempty"`
	Asked     *Exception `json:"asked_exception,omitempty"`
	Statement *Statement `json:"statement,omitempty"` // the last about it, whatever it says
}

// Count counts the open vulnerabilities of one severity.
type Count struct {
	Severity Severity `json:"severity"`
	Open     int      `json:"open"`
	Fixable  int      `json:"fixable"` // of the open ones
	Fails    int      `json:"fails"`   // of the open ones
}

// Judge applies the policies for an image to what was found in it. The order of what it is given makes no difference, but
// for that of policies.
func Judge(in Input) Verdict {
	j := judge{Input: in, rules: For(in.Policies, in.Subject), exceptions: exceptionsFor(in.Exceptions, in.Subject), statements: statementsFor(in.VEX, in.Subject)}
	v := Verdict{Policies: j.rules.Policies, Findings: []Judged{}, Outcomes: map[Outcome]int{}, Unknown: slices.Concat(in.Unknown, in.UnknownSecrets)}
	for _, f := range in.Findings {
		if j.rules.level(f).Value == LevelOff {
			v.Off++
			continue
		}
		v.Findings = append(v.Findings, j.judged(f))
	}
	slices.SortFunc(v.Findings, shown)
	v.sum(in.Now)
	v.Outcome = Pass
	switch {
	case v.Outcomes[Fails] > 0:
		v.Outcome = Fail
	case j.unseen(v):
		v.Outcome = Undecided
	}
	return v
}

// unseen says that something that the policies enforce could not be looked for everywhere. Of content that is not known
// nobody knows the vulnerabilities, unless somebody has accepted that.
func (j *judge) unseen(v Verdict) bool {
	dark := func(f Judged) bool { return f.Kind == Hygiene && f.ID == RuleUnknownContent && f.Outcome.Open() }
	return j.rules.Vulnerabilities.Value == LevelEnforce && (len(j.Unknown) > 0 || slices.ContainsFunc(v.Findings, dark)) ||
		j.rules.Secrets.Value == LevelEnforce && len(j.UnknownSecrets) > 0
}

// judge is one judgement.
type judge struct {
	Input
	rules      Effective
	exceptions exceptions
	statements statements
}

func (j *judge) judged(f Finding) Judged {
	f.Do = whatToDo(f)
	out := Judged{Finding: f}
	if f.Kind == Vulnerability {
		out.Statement = j.statements.of(f)
	}
	out.Exception, out.Expired, out.Asked = j.exceptions.of(j.Subject, f, j.Now)
	switch {
	case out.Statement != nil && out.Statement.clears():
		out.Outcome, out.Reason = NotAffected, stated(*out.Statement)
		out.Exception, out.Expired, out.Asked = nil, nil, nil // nobody needs them
	case out.Exception != nil:
		e := out.Exception
		out.Outcome, out.Until, out.Expired, out.Asked = Excepted, e.Expires, nil, nil
		out.Reason = fmt.Sprintf("%s excuses it until %s: %s", e.ID, day(e.Expires), e.Reason)
	default:
		j.weigh(&out)
		if e := out.Expired; e != nil {
			out.Reason += fmt.Sprintf("; %s excused it until %s and has expired", e.ID, day(e.Expires))
		}
	}
	return out
}

// weigh applies the rules to a finding that nobody excuses.
func (j *judge) weigh(out *Judged) {
	level := j.rules.level(out.Finding)
	out.Policy = level.By
	if out.Kind == Vulnerability && j.waits(out) {
		return
	}
	out.Outcome = Observed
	if level.Value == LevelEnforce {
		out.Outcome = Fails
	}
	out.Reason = j.because(level, out.Finding)
}

// waits says that a vulnerability does not count, or not yet, and why.
func (j *judge) waits(out *Judged) bool {
	r, f := j.rules, out.Finding
	lifted := j.lifted(f)
	switch {
	case lifted == "" && !f.Severity.AtLeast(r.Severity.Value):
		out.Outcome, out.Policy = Below, r.Severity.By
		out.Reason = fmt.Sprintf("%s counts %s and worse, and this is %s", policyOf(r.Severity), r.Severity.Value, f.Severity.known())
		return true
	case r.OnlyFixable.Value && f.FixedIn == "":
		out.Outcome, out.Policy = Below, r.OnlyFixable.By
		out.Reason = fmt.Sprintf("%s counts what has a fix, and none is known yet", policyOf(r.OnlyFixable))
		return true
	case r.Exploited.Value && f.Exploited:
		return false
	}
	until, ok := graceEnds(f, r.Grace.Value)
	if !ok || !j.Now.Before(until) {
		return false
	}
	out.Outcome, out.Policy, out.Until = Grace, r.Grace.By, until
	out.Reason = fmt.Sprintf("%s gives it time until %s", policyOf(r.Grace), day(until))
	return true
}

// lifted says, in words, why a vulnerability counts whatever its severity; empty: it does not.
func (j *judge) lifted(f Finding) string {
	switch {
	case j.rules.Exploited.Value && f.Exploited:
		return "it is known to be exploited"
	case j.rules.EPSS.Value > 0 && f.EPSS != nil && *f.EPSS >= j.rules.EPSS.Value:
		return fmt.Sprintf("it is %.1f %% likely to be exploited within 30 days", *f.EPSS*100)
	}
	return ""
}

// graceEnds counts a grace from when the fix was known or the advisory published, whichever was later. Without either
// nobody knows when it would end, and there is none; nor is there one for a date that no calendar has.
func graceEnds(f Finding, grace time.Duration) (time.Time, bool) {
	start := max(f.FixKnown, f.Published)
	if start <= 0 || grace <= 0 {
		return time.Time{}, false
	}
	until := time.UnixMilli(start).UTC().Add(grace)
	return until, until.Year() <= 9999 && until.Year() > 1969
}

// because says which rule lets a finding count.
func (j *judge) because(level Said[Level], f Finding) string {
	what := map[Kind]string{Vulnerability: "vulnerabilities", Secret: "secrets"}[f.Kind]
	if what == "" {
		what = "rule " + f.ID
	}
	if level.By == "" {
		return "no policy enforces " + what
	}
	what = fmt.Sprintf("%s %ss %s", policyOf(level), level.Value, what)
	if f.Kind != Vulnerability {
		return what
	}
	if why := j.lifted(f); why != "" {
		return what + ", and " + why
	}
	if bar := j.rules.Severity.Value; bar.rank() > 0 {
		what += fmt.Sprintf(" from %s on", bar)
	}
	return what
}

func policyOf[T any](s Said[T]) string { return fmt.Sprintf("policy %q", s.By) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func stated(s Statement) string {
	status := "it is not affected"
	if s.Status == StatusFixed {
		status = "it is fixed"
	}
	out := fmt.Sprintf("%s says that %s", cmp.Or(s.Author, "a statement without author"), status)
	if why := cmp.Or(s.Impact, s.Justification); why != "" {
		out += ": " + why
	}
	return out
}

// whatToDo is a finding's Do. What a base brings in is mended there: who keeps the image itself can only take the next one.
func whatToDo(f Finding) string {
	switch {
	case f.Inherited == "":
		return f.Do
	case f.Kind == Vulnerability && f.FixedIn == "":
		return fmt.Sprintf("Nothing yet: there is no fix, and %s, which brings it in, will have it first.", f.Inherited)
	case f.Kind == Vulnerability:
		return fmt.Sprintf("Take the next %s, which brings it in: the fix, %s, comes with it.", f.Inherited, f.FixedIn)
	}
	return fmt.Sprintf("It comes from %s: have it changed there, and take the next one.", f.Inherited)
}

// sum counts the findings, and gathers what ends by itself.
func (v *Verdict) sum(now time.Time) {
	v.Vulnerabilities = make([]Count, len(Severities()))
	for i, s := range Severities() {
		v.Vulnerabilities[i].Severity = s
	}
	for _, f := range v.Findings {
		v.Outcomes[f.Outcome]++
		if f.Kind == Vulnerability && f.Outcome.Open() {
			v.Vulnerabilities[len(v.Vulnerabilities)-1-f.Severity.rank()].add(f)
		}
		if !f.Until.IsZero() && (v.Next.IsZero() || f.Until.Before(v.Next)) {
			v.Next = f.Until
		}
		if f.Expired != nil {
			v.Expired = append(v.Expired, *f.Expired)
		}
		if f.Exception != nil && f.Exception.Expired(now.Add(Warning)) {
			v.Expiring = append(v.Expiring, *f.Exception)
		}
	}
	v.Expired, v.Expiring = once(v.Expired), once(v.Expiring)
}

func (c *Count) add(f Judged) {
	c.Open++
	if f.FixedIn != "" {
		c.Fixable++
	}
	if f.Outcome == Fails {
		c.Fails++
	}
}

// once leaves one of each exception, the first to end first.
func once(list []Exception) []Exception {
	slices.SortFunc(list, func(a, b Exception) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.ID, b.ID), cmp.Compare(a.State, b.State))
	})
	return slices.CompactFunc(list, func(a, b Exception) bool { return a.ID == b.ID && a.State == b.State && a.Expires.Equal(b.Expires) })
}

// shown orders findings for people: what fails first, then the worst.
func shown(a, b Judged) int {
	return cmp.Or(
		cmp.Compare(slices.Index(Outcomes(), a.Outcome), slices.Index(Outcomes(), b.Outcome)),
		ordered(a.Finding, b.Finding),
	)
}
