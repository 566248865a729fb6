package forge

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trouble is something that goes wrong with one request, as it does on GitHub.
type Trouble string

// The troubles there are.
const (
	BadGateway    Trouble = "bad gateway"            // 502, and nothing was done
	AfterEffect   Trouble = "bad gateway afterwards" // done, and answered by 502
	ServerError   Trouble = "server error"           // 500, and nothing was done
	Cut           Trouble = "cut"                    // done, and the answer breaks off in the middle
	Slow          Trouble = "slow"                   // done, and the answer comes after Fault.Delay
	Primary       Trouble = "primary limit"          // 403 until Fault.Delay has gone by (an hour if zero)
	Secondary     Trouble = "secondary limit"        // 403 with Retry-After
	SecondaryBare Trouble = "secondary limit, bare"  // 403 without
	TooMany       Trouble = "429"                    // 429 with Retry-After
	TooManyBare   Trouble = "429, bare"              // 429 without
	TreeMissing   Trouble = "tree missing"           // a tree just made does not exist yet
	RefFailed     Trouble = "reference failed"       // a reference cannot be moved just now
	BareInvalid   Trouble = "invalid, bare"          // 422 that does not say why
	MergeRace     Trouble = "merge race"             // 409: the base moved in between
	Stale         Trouble = "stale"                  // what was answered before the last write
	TokenExpired  Trouble = "token expired"          // 401, and all installations' tokens are over
	ReadOnly      Trouble = "archived"               // 403: the repository was archived
)

// anywhere are the troubles that any request may have; the others have their routes.
var anywhere = []Trouble{BadGateway, AfterEffect, ServerError, Cut, Secondary, SecondaryBare, TooMany, TooManyBare}

// only says with which requests a trouble makes sense.
var only = map[Trouble]string{
	TreeMissing: "POST /repos/{owner}/{repo}/git/commits",
	RefFailed:   "PATCH /repos/{owner}/{repo}/git/refs/{ref...}",
	BareInvalid: "POST /repos/{owner}/{repo}/pulls",
	MergeRace:   "PUT /repos/{owner}/{repo}/pulls/{number}/merge",
}

// Faults are troubles that come by themselves: the same ones for the same seed and the same requests in the same order.
type Faults struct {
	Seed uint64
	Rate float64 // of requests that have one, 0 to 1
	// Kinds are those that may come; empty is all that a client gets over without a person: what any request may have,
	// what only some may have, stale answers and expired tokens.
	Kinds []Trouble
	// Hooks is the part of webhooks that are lost, sent twice, or overtaken by the next one.
	Hooks float64
}

// Fault is a trouble of chosen requests.
type Fault struct {
	Trouble Trouble
	// On is a route as doc.go has them, "POST /repos/{owner}/{repo}/pulls", or the start of one; empty is every request.
	On    string
	Path  string        // when not empty, part of the request's path
	Skip  int           // so many requests are spared first
	Times int           // so many have it; zero is one, negative is all
	Delay time.Duration // of Slow; what Retry-After says; a minute if zero
}

// Fail lets chosen requests go wrong. It may be called at any time.
func (f *Forge) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.Times == 0 {
		fault.Times = 1
	}
	f.troubles.chosen = append(f.troubles.chosen, &fault)
}

// Happened returns how often each trouble came.
func (f *Forge) Happened() map[Trouble]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[Trouble]int{}
	for trouble, n := range f.troubles.happened {
		out[trouble] = n
	}
	return out
}

// troubles decides which request has which trouble. It is guarded by the forge's mutex.
type troubles struct {
	faults   Faults
	random   *rand.Rand
	chosen   []*Fault
	happened map[Trouble]int
	answers  map[string]remembered // of reads, by who asked what
	writes   int
}

// remembered is a read's newest answer, and the one that stood before the writes since.
type remembered struct {
	writes      int
	newest, old []byte
}

// maxRemembered bounds the answers that are kept for being stale.
const maxRemembered = 2000

func newTroubles(faults Faults) troubles {
	return troubles{
		faults: faults, random: rand.New(rand.NewPCG(faults.Seed, 1)), happened: map[Trouble]int{}, answers: map[string]remembered{},
	}
}

// trouble is what one request has; the zero value is none.
type trouble struct {
	Fault
	stale []byte
}

// next decides about one request.
func (t *troubles) next(pattern string, r *http.Request) trouble {
	fault, ok := t.choose(pattern, r)
	if !ok {
		fault, ok = t.draw(pattern, r)
	}
	if !ok {
		return trouble{}
	}
	out := trouble{Fault: fault}
	if fault.Trouble == Stale {
		if out.stale = t.answers[asked(r)].old; out.stale == nil || !isRead(r) {
			return trouble{}
		}
	}
	t.happened[fault.Trouble]++
	return out
}

func (t *troubles) choose(pattern string, r *http.Request) (Fault, bool) {
	for i, fault := range t.chosen {
		if !strings.HasPrefix(pattern, fault.On) || !strings.Contains(r.URL.Path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				t.chosen = slices.Delete(t.chosen, i, i+1)
			}
		}
		return *fault, true
	}
	return Fault{}, false
}

func (t *troubles) draw(pattern string, r *http.Request) (Fault, bool) {
	if t.faults.Rate == 0 || t.random.Float64() >= t.faults.Rate {
		return Fault{}, false
	}
	var fitting []Trouble
	for _, kind := range t.kinds() {
		if route := only[kind]; route == "" || route == pattern {
			fitting = append(fitting, kind)
		}
	}
	if len(fitting) == 0 {
		return Fault{}, false
	}
	return Fault{Trouble: fitting[t.random.IntN(len(fitting))], Delay: time.Second}, true
}

func (t *troubles) kinds() []Trouble {
	if len(t.faults.Kinds) > 0 {
		return t.faults.Kinds
	}
	return slices.Concat(anywhere, []Trouble{TreeMissing, RefFailed, BareInvalid, MergeRace, Stale, TokenExpired})
}

// instead answers in the place of the forge, when nothing is to be done.
func (t trouble) instead(c *call) (reply, bool) {
	after := t.Delay
	if after == 0 {
		after = time.Minute
	}
	limited := func(status int, after time.Duration) (reply, bool) {
		return refusal{status: status, after: after}.reply(c.who), true
	}
	switch t.Trouble {
	case BadGateway:
		return fail(http.StatusBadGateway, "Server Error"), true
	case ServerError:
		return fail(http.StatusInternalServerError, "Server Error"), true
	case Primary:
		if t.Delay == 0 {
			after = time.Hour
		}
		return refusal{status: http.StatusForbidden, primary: true, reset: c.f.now().Add(after)}.reply(c.who), true
	case Secondary:
		return limited(http.StatusForbidden, after)
	case SecondaryBare:
		return limited(http.StatusForbidden, 0)
	case TooMany:
		return limited(http.StatusTooManyRequests, after)
	case TooManyBare:
		return limited(http.StatusTooManyRequests, 0)
	case TreeMissing:
		return invalid("Tree SHA does not exist"), true
	case RefFailed:
		return invalid("Reference update failed"), true
	case BareInvalid:
		return invalid("Validation Failed"), true
	case MergeRace:
		return fail(http.StatusConflict, "Base branch was modified. Review and try the merge again."), true
	case TokenExpired:
		c.f.state.Grants = nil
		return fail(http.StatusUnauthorized, "Bad credentials"), true
	case ReadOnly:
		return fail(http.StatusForbidden, "Repository was archived so is read-only."), true
	}
	return reply{}, false
}

// seen remembers a read's answer, and gives a stale one when that is the trouble.
func (t *troubles) seen(now trouble, r *http.Request, status int, body []byte) []byte {
	if !isRead(r) {
		t.writes++
		return body
	}
	if status != http.StatusOK || t.faults.Rate == 0 && len(t.chosen) == 0 && now.stale == nil {
		return body
	}
	key := asked(r)
	had, known := t.answers[key]
	if !known && len(t.answers) >= maxRemembered {
		clear(t.answers)
	}
	next := remembered{writes: t.writes, newest: body, old: had.old}
	if known && had.writes != t.writes {
		next.old = had.newest
	}
	if !known || next.old == nil {
		next.old = body
	}
	t.answers[key] = next
	if now.stale != nil {
		return now.stale
	}
	return body
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func asked(r *http.Request) string { return r.Header.Get("Authorization") + " " + r.URL.RequestURI() }

// spoil lets the answer come late, or not as it is; the work is done. It says whether it answered.
func (t trouble) spoil(w http.ResponseWriter, body []byte) bool {
	switch t.Trouble {
	case Slow:
		time.Sleep(t.Delay)
	case AfterEffect:
		http.Error(w, "Bad Gateway", http.StatusBadGateway)
		return true
	case Cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler) // net/http's way to close the connection
	}
	return false
}
