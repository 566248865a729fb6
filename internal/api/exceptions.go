package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"rebuilder/internal/catalog"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// States of exceptions, in the order in which they are listed. Those of the catalog are approved, or expired.
const (
	ExceptionExpired   = "expired" // its time is over, whether it was approved or only asked for
	ExceptionRequested = "requested"
	ExceptionApproved  = "approved"
	ExceptionRejected  = "rejected"
	ExceptionRevoked   = "revoked"
)

// ExceptionStates lists all states.
func ExceptionStates() []string {
	return []string{ExceptionExpired, ExceptionRequested, ExceptionApproved, ExceptionRejected, ExceptionRevoked}
}

// Exception is a finding that is accepted for a while, or is to be.
type Exception struct {
	ID        string    `json:"id"`
	Finding   string    `json:"finding"` // advisory or rule
	Images    []string  `json:"images"`  // patterns over names; none: all
	Package   string    `json:"package,omitempty"`
	Reason    string    `json:"reason"`
	Owner     string    `json:"owner"`
	ExpiresAt time.Time `json:"expires_at"`
	State     string    `json:"state"`
	Soon      bool      `json:"soon,omitempty"`    // approved, and ends within 14 days
	Catalog   bool      `json:"catalog,omitempty"` // it stands in the catalog, which is approval, and ends there

	Requester   string    `json:"requester,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"`
	Approver    string    `json:"approver,omitempty"`
	ApprovedAt  time.Time `json:"approved_at,omitzero"`
	EndedBy     string    `json:"ended_by,omitempty"` // who rejected or revoked it
	EndedAt     time.Time `json:"ended_at,omitzero"`
	EndedWhy    string    `json:"ended_why,omitempty"`

	// Findings are how many it excuses now in the images that are there, or would excuse were it approved and not expired;
	// In is in how many images.
	Findings int    `json:"findings"`
	In       int    `json:"in"`
	Sentence string `json:"sentence"`
}

// Exceptions are the catalog's and those that were asked for. What they excuse is counted from the last verdicts.
type Exceptions struct {
	Now        time.Time      `json:"now"`
	AsOf       time.Time      `json:"as_of,omitzero"`
	Images     int            `json:"images"` // of the graph
	Judged     int            `json:"judged"` // of Images: the denominator of what is excused
	States     map[string]int `json:"states"` // of all exceptions, whatever was asked for
	Soon       int            `json:"soon"`   // of all: end within 14 days
	Exceptions []Exception    `json:"exceptions"`
}

// ExceptionRequest asks for an exception. By is what the caller says; the proof is the token.
type ExceptionRequest struct {
	ID      string   `json:"id,omitempty"` // the caller's own, so that asking twice is asking once; left out: asked once
	Finding string   `json:"finding"`
	Images  []string `json:"images,omitempty"`
	Package string   `json:"package,omitempty"`
	Reason  string   `json:"reason"`
	Owner   string   `json:"owner"`
	Expires string   `json:"expires"` // a date, whose end is meant, a time, or a number of days: "2026-12-31", "30d"
	By      string   `json:"by"`
}

// Decision says who decides on something, and why.
type Decision struct {
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// Asked is the answer to asking for an exception.
type Asked struct {
	Exception
	Again bool `json:"again"` // it was asked for before: this changed nothing
}

// Exceptions lists exceptions: those in the given states, or all that have not ended when there are none; with all also
// those.
func (r *Reader) Exceptions(ctx context.Context, states []string, all bool) (Exceptions, error) {
	for _, s := range states {
		if !slices.Contains(ExceptionStates(), s) {
			return Exceptions{}, badRequest("use one of "+strings.Join(ExceptionStates(), ", "), "%q is no state of an exception", s)
		}
	}
	v, err := r.view(ctx)
	if err != nil {
		return Exceptions{}, err
	}
	out, err := r.exceptions(ctx, v, v.images())
	if err != nil {
		return out, err
	}
	out.Exceptions = slices.DeleteFunc(out.Exceptions, func(e Exception) bool {
		if len(states) > 0 {
			return !slices.Contains(states, e.State)
		}
		return !all && (e.State == ExceptionRejected || e.State == ExceptionRevoked)
	})
	return out, nil
}

// exceptions are all, with what they do to some images.
func (r *Reader) exceptions(ctx context.Context, v *view, images []Image) (Exceptions, error) {
	out := Exceptions{Now: v.now, AsOf: v.asOf(), Images: len(images), States: map[string]int{}, Exceptions: []Exception{}}
	asked, err := store.ListExceptions(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	judged, err := store.Judged(ctx, r.Store.Q())
	if err != nil {
		return out, err
	}
	type use struct{ findings, in int }
	uses := map[string]use{}
	for _, i := range images {
		j, ok := judged[i.Digest]
		if i.Digest == "" || !ok {
			continue
		}
		out.Judged++
		for _, u := range j.Uses {
			was := uses[u.Exception]
			uses[u.Exception] = use{was.findings + u.Excuses + u.Would, was.in + 1}
		}
	}
	add := func(e Exception) {
		u := uses[e.ID]
		e.Findings, e.In = u.findings, u.in
		if e.State == ExceptionApproved || e.State == ExceptionRequested {
			e.Soon = e.State == ExceptionApproved && !v.now.Add(policy.Warning).Before(e.ExpiresAt)
			if !v.now.Before(e.ExpiresAt) {
				e.State, e.Soon = ExceptionExpired, false
			}
		}
		e.Sentence = e.sentence(v.now)
		out.States[e.State]++
		if e.Soon {
			out.Soon++
		}
		out.Exceptions = append(out.Exceptions, e)
	}
	if c := v.snap.Catalog; c != nil {
		for _, e := range c.Exceptions {
			add(Exception{ID: e.ID, Finding: e.Finding, Images: append([]string{}, e.Images...), Package: e.Package, Reason: e.Reason, Owner: e.Owner, ExpiresAt: e.Expires.UTC(),
				State: ExceptionApproved, Catalog: true, Approver: e.Approver})
		}
	}
	for _, e := range asked {
		add(exceptionOf(e))
	}
	slices.SortStableFunc(out.Exceptions, func(a, b Exception) int {
		rank := func(e Exception) int { return slices.Index(ExceptionStates(), e.State) }
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// exceptionOf is one that was asked for, as it is stored.
func exceptionOf(e store.Exception) Exception {
	return Exception{ID: e.ID, Finding: e.Finding, Images: append([]string{}, e.Images...), Package: e.Package, Reason: e.Reason, Owner: e.Owner, ExpiresAt: at(e.Expires), State: string(e.State),
		Requester: e.Requester, RequestedAt: at(e.RequestedAt), Approver: e.Approver, ApprovedAt: at(e.ApprovedAt), EndedBy: e.EndedBy, EndedAt: at(e.EndedAt), EndedWhy: e.EndedWhy}
}

// sentence says how an exception is, without its id.
func (e Exception) sentence(now time.Time) string {
	ended := "by " + e.EndedBy
	if e.EndedWhy != "" {
		ended += ": " + e.EndedWhy
	}
	switch e.State {
	case ExceptionRejected, ExceptionRevoked:
		return e.State + " " + ended
	case ExceptionExpired:
		s := "expired " + Age(now.Sub(e.ExpiresAt)) + " ago"
		if e.Approver == "" && !e.Catalog {
			s += " without having been approved"
		}
		return s + ", and " + e.does("would excuse %s again", "excuses nothing that is there")
	case ExceptionRequested:
		return fmt.Sprintf("waits for approval by somebody else than %s; %s", e.Requester, e.does("it would excuse %s", "it would excuse nothing that is there"))
	}
	s := e.does("excuses %s", "excuses nothing that is there")
	if e.Soon {
		s += ", and ends in " + Age(e.ExpiresAt.Sub(now))
	}
	return s
}

// does says in one of two ways what it excuses, or would.
func (e Exception) does(some, nothing string) string {
	if e.Findings == 0 {
		return nothing
	}
	return fmt.Sprintf(some, fmt.Sprintf("%s in %s", Count(e.Findings, "finding"), Count(e.In, "image")))
}

// exceptionNeeds are the exceptions that a person must look after: those that have expired and are missed, those that end
// soon, and those that wait for approval.
func exceptionNeeds(all []Exception) (out []Need) {
	for _, e := range all {
		n := Need{What: e.ID, State: e.State, Reason: fmt.Sprintf("%s: %s", e.Finding, e.Sentence), Who: e.Owner, Command: "rebuilder exception list"}
		switch {
		case e.State == ExceptionExpired && e.Findings > 0:
			n.Since = e.ExpiresAt
		case e.Soon:
			n.State, n.Next = "expiring", e.ExpiresAt
		case e.State == ExceptionRequested:
			n.Since, n.Who, n.Command = e.RequestedAt, "anybody but "+e.Requester, "rebuilder exception approve "+e.ID
		default:
			continue
		}
		out = append(out, n)
	}
	return out
}

func (s *Server) getExceptions(r *http.Request) (any, error) {
	all, err := flag(r, "all")
	if err != nil {
		return nil, err
	}
	return s.Exceptions(r.Context(), r.URL.Query()["state"], all)
}

func (s *Server) requestException(r *http.Request) (any, error) {
	var q ExceptionRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	by, err := decider(q.By)
	if err != nil {
		return nil, err
	}
	now := s.d.Now().UTC()
	expires, err := lastMoment(q.Expires, now)
	if err != nil {
		return nil, err
	}
	if err := s.anImage(r.Context(), q.Images); err != nil {
		return nil, err
	}
	if q.ID != "" && !requestID.MatchString(q.ID) {
		return nil, badRequest("letters, digits and . _ -, at most 100", "%q cannot be the id of a request", q.ID)
	}
	e, created, err := store.RequestException(r.Context(), s.d.Store.Q(), store.Exception{Request: cmp.Or(q.ID, uuid.NewString()), Finding: strings.TrimSpace(q.Finding), Images: q.Images,
		Package: q.Package, Reason: q.Reason, Owner: q.Owner, Requester: by, RequestedAt: now.UnixMilli(), Expires: expires.UnixMilli()})
	if errors.Is(err, store.ErrOtherRequest) {
		return nil, &Error{http.StatusConflict, CodeBadRequest, err.Error(), "give this one an id of its own"}
	}
	if err != nil {
		return nil, refusal(err, http.StatusBadRequest, "see: rebuilder exception request --help")
	}
	if created {
		s.rejudge()
	}
	one, err := s.exception(r.Context(), e.ID)
	return Asked{one, !created}, err
}

// exception is one that was asked for, with what it does.
func (r *Reader) exception(ctx context.Context, id string) (Exception, error) {
	all, err := r.Exceptions(ctx, nil, true)
	if err != nil {
		return Exception{}, err
	}
	i := slices.IndexFunc(all.Exceptions, func(e Exception) bool { return e.ID == id })
	if i < 0 {
		return Exception{}, noException(id)
	}
	return all.Exceptions[i], nil
}

func noException(id string) error {
	return notFound("list them: rebuilder exception list --all", "there is no exception %q", id)
}

// decisions are what can be decided on an exception.
var decisions = map[string]func(ctx context.Context, q store.Querier, id string, d Decision, at int64) (store.Exception, error){
	"approve": func(ctx context.Context, q store.Querier, id string, d Decision, at int64) (store.Exception, error) {
		return store.ApproveException(ctx, q, id, d.By, at)
	},
	"reject": func(ctx context.Context, q store.Querier, id string, d Decision, at int64) (store.Exception, error) {
		return store.RejectException(ctx, q, id, d.By, d.Reason, at)
	},
	"revoke": func(ctx context.Context, q store.Querier, id string, d Decision, at int64) (store.Exception, error) {
		return store.RevokeException(ctx, q, id, d.By, d.Reason, at)
	},
}

func (s *Server) decideException(r *http.Request) (any, error) {
	id, what := r.PathValue("id"), r.PathValue("decision")
	decide, ok := decisions[what]
	if !ok {
		return nil, notFound("approve, reject or revoke it", "an exception cannot be %.40q", what)
	}
	var d Decision
	if err := decode(r, &d); err != nil {
		return nil, err
	}
	by, err := decider(d.By)
	if err != nil {
		return nil, err
	}
	if d.Reason = strings.TrimSpace(d.Reason); d.Reason == "" && what != "approve" {
		return nil, badRequest("say why, for who reads it later: --reason", "to %s an exception needs a reason", what)
	}
	if e := s.catalogException(id); e != nil {
		return nil, &Error{http.StatusConflict, CodeBadRequest, fmt.Sprintf("%s stands in the catalog, line %d: it is changed there", e.ID, e.Line), "change the catalog; the daemon takes it over by itself"}
	}
	d.By = by
	e, err := decide(r.Context(), s.d.Store.Q(), id, d, s.d.Now().UnixMilli())
	if errors.Is(err, store.ErrNoRows) {
		return nil, noException(id)
	}
	if err != nil {
		return nil, refusal(err, http.StatusConflict, "see it: rebuilder exception list --all")
	}
	s.rejudge()
	return s.exception(r.Context(), e.ID)
}

func (s *Server) catalogException(id string) *catalog.Exception {
	c := s.d.Loop.Last().Catalog
	if c == nil {
		return nil
	}
	i := slices.IndexFunc(c.Exceptions, func(e catalog.Exception) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Exceptions[i]
}

// decider is the name of a person who decides. A nameless one cannot be told from another.
func decider(by string) (string, error) {
	if strings.TrimSpace(by) == "" {
		return "", badRequest("say who: --by NAME", "it is not said who asks for this, and it takes two people")
	}
	return person(by), nil
}

// refusal is what is wrong with a request as an answer; any other error is as it is.
func refusal(err error, status int, hint string) error {
	var refused store.Refused
	if errors.As(err, &refused) {
		return &Error{status, CodeBadRequest, refused.Reason, hint}
	}
	return err
}

// anImage refuses patterns that no image is called by: a slip of the finger would excuse nothing, and nobody would know.
func (s *Server) anImage(ctx context.Context, patterns []string) error {
	if len(patterns) == 0 {
		return nil
	}
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	images := v.images()
	for _, p := range patterns {
		_, err := path.Match(p, "")
		if err == nil && !slices.ContainsFunc(images, func(i Image) bool { ok, _ := path.Match(p, i.Name); return ok }) {
			return badRequest(likely(p, images), "no image is called %q", p)
		}
	}
	return nil
}

var days = regexp.MustCompile(`^([1-9][0-9]{0,3})d$`)

// lastMoment reads when something expires: a date means the end of that day, and so does a number of days from now.
func lastMoment(s string, now time.Time) (time.Time, error) {
	const day = 24 * time.Hour
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	begins, err := time.Parse(time.DateOnly, s)
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		begins, err = now.UTC().Truncate(day).AddDate(0, 0, n), nil
	}
	if err != nil {
		return time.Time{}, badRequest(`say until when: a date, whose end is meant, such as 2026-12-31, or a number of days such as 30d`, "%.40q is not when something could expire", s)
	}
	return begins.Add(day - time.Second), nil
}

// rejudge lets images be judged again, and the loop look, since what verdicts rest on is another.
func (s *Server) rejudge() {
	if s.d.Rejudge != nil {
		s.d.Rejudge()
	}
	s.d.Loop.Wake()
}

// Exceptions lists exceptions; see Reader.Exceptions.
func (c *Client) Exceptions(ctx context.Context, states []string, all bool) (e Exceptions, err error) {
	q := url.Values{"state": states}
	if all {
		q.Set("all", "1")
	}
	return e, c.get(ctx, &e, q, "exceptions")
}

// RequestException asks for an exception. The same id once more changes nothing; one that is left out is made, so that the
// call may not be repeated.
func (c *Client) RequestException(ctx context.Context, q ExceptionRequest) (a Asked, err error) {
	return a, c.call(ctx, patience, http.MethodPost, q, &a, nil, "exceptions")
}

// DecideException approves, rejects or revokes an exception. It is safe to repeat.
func (c *Client) DecideException(ctx context.Context, id, decision string, d Decision) (e Exception, err error) {
	return e, c.call(ctx, patience, http.MethodPost, d, &e, nil, "exceptions", id, decision)
}
