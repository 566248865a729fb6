package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
	"rebuilder/internal/reconcile"
)

const secret = "s3cret"

// played is what came of one run of a world.
type played struct {
	state                  string
	promotions             []string
	builds, started, looks int
}

// play lets the same things happen in a world, one after the other, and webhooks tell of them, or not: lost, doubled, late,
// in another order, replayed, forged, and of things that never happened.
func play(t *testing.T, seed uint64, calm, hooks bool) (p played) {
	t.Run(fmt.Sprintf("%d calm %v hooks %v", seed, calm, hooks), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			world, post := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			s := reconcile.NewSim(t)
			m := &mail{t: t, s: s, rand: post, on: hooks}
			m.serve()
			stop := s.Run()
			for n := range 8 {
				happen(s, world, n)
				m.tell(n)
				gap := time.Duration(1+world.IntN(90)) * time.Minute
				if calm {
					gap += 2 * time.Hour // everything that follows from it is done before the next thing happens
				}
				m.wait(gap)
			}
			m.wait(4 * time.Hour)
			p = played{s.State(), s.Promotions, s.Builds, s.Started(), s.Looks()}
			stop()
		})
	})
	return p
}

func happen(s *reconcile.Sim, r *rand.Rand, n int) {
	base := []string{"base/debian", "base/python"}[r.IntN(2)]
	switch r.IntN(4) {
	case 0:
		s.Upstream(n)
	case 1:
		s.Recipe(base, n)
	default:
		s.Patch(base, n)
	}
}

// mail carries webhooks to the daemon, badly.
type mail struct {
	t    *testing.T
	s    *reconcile.Sim
	rand *rand.Rand
	on   bool
	h    http.Handler
	bag  []string // on its way
	sent []string // for replays
}

func (m *mail) serve() {
	m.s.Loop().Catalog().Webhooks = []catalog.Webhook{{Name: "registry", Kind: catalog.FromRegistry}}
	m.h = api.New(api.Deps{Loop: m.s.Loop(), Store: m.s.Store(), Secret: func(catalog.Webhook) (string, error) { return secret, nil }}).Handler()
}

func (m *mail) tell(n int) {
	for range m.rand.IntN(3) { // 0: lost
		m.bag = append(m.bag, fmt.Sprintf(`{"events":[{"id":"%d","action":"push","target":{"repository":"base/debian"}}]}`, n))
	}
	if m.rand.IntN(3) == 0 {
		m.bag = append(m.bag, fmt.Sprintf(`{"events":[{"id":"never %d","action":"delete","target":{"repository":"base/python"}}]}`, n))
	}
}

// wait lets time pass, and webhooks arrive in it at any moment and in any order.
func (m *mail) wait(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(time.Duration(1+m.rand.IntN(25*60))*time.Second, time.Until(end)))
		switch n := len(m.bag); {
		case !m.on:
		case n > 0 && m.rand.IntN(2) == 0:
			i := m.rand.IntN(n)
			m.deliver(m.bag[i], secret, http.StatusAccepted)
			m.sent, m.bag = append(m.sent, m.bag[i]), slices.Delete(m.bag, i, i+1)
		case len(m.sent) > 0 && m.rand.IntN(2) == 0:
			m.deliver(m.sent[m.rand.IntN(len(m.sent))], secret, http.StatusAccepted)
		case m.rand.IntN(3) == 0:
			m.deliver(`{"events":[{"id":"forged","action":"push"}]}`, "guess", http.StatusUnauthorized)
		}
		synctest.Wait()
	}
}

func (m *mail) deliver(body, key string, want int) {
	r := httptest.NewRequest(http.MethodPost, "/webhooks/registry", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	rec := httptest.NewRecorder()
	m.h.ServeHTTP(rec, r)
	if rec.Code != want {
		m.t.Errorf("%d %s, want %d", rec.Code, rec.Body, want)
	}
}

// Webhooks that are lost, doubled, late, replayed, forged or wrong lead to where polling alone leads: always to the same
// state, and, when what happens is not so dense that it matters which things are gathered, by the same effects.
func TestWebhooksChangeNothingButWhenItLooks(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	more := 0
	for seed := range seeds {
		for _, calm := range []bool{true, false} {
			polled, told := play(t, seed, calm, false), play(t, seed, calm, true)
			if polled.state != told.state || polled.builds == 0 {
				t.Errorf("seed %d, calm %v: told\n%s\npolled\n%s", seed, calm, told.state, polled.state)
			}
			if strings.Contains(told.state, " 1 patches") {
				t.Errorf("seed %d, calm %v: not everything was done:\n%s", seed, calm, told.state)
			}
			if calm && (!slices.Equal(polled.promotions, told.promotions) || polled.builds != told.builds || polled.started != told.started) {
				t.Errorf("seed %d: told %+v, polled %+v", seed, told, polled)
			}
			if told.looks > polled.looks {
				more++
			}
		}
	}
	if more == 0 {
		t.Error("no webhook ever made it look")
	}
}

// However many webhooks come, each of something new, it looks once a breath and not more, and once after the last of them.
func TestAFloodOfWebhooksIsOneLookABreath(t *testing.T) {
	for name, c := range map[string]struct {
		took, breath time.Duration // of a look, after it
	}{
		"looks that take no time":   {0, 100 * time.Millisecond},
		"looks that take a while":   {2 * time.Second, 2 * time.Second},
		"looks that take very long": {5 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := reconcile.NewSim(t)
				s.Slow(c.took)
				m := &mail{t: t, s: s, on: true}
				m.serve()
				defer s.Run()()
				time.Sleep(c.took + c.breath + time.Second)
				synctest.Wait()
				first, flood := s.Looks(), 10*(c.took+c.breath)
				const webhooks = 200
				for n := range webhooks {
					m.deliver(fmt.Sprintf(`{"events":[{"id":"%d","action":"push","target":{"repository":"base/debian"}}]}`, n), secret, http.StatusAccepted)
					time.Sleep(flood / webhooks)
				}
				time.Sleep(2 * (c.took + c.breath))
				synctest.Wait()
				if looks := s.Looks() - first; looks < 9 || looks > 12 {
					t.Errorf("%d webhooks in the time of 10 looks made %d", webhooks, looks)
				}
				last := s.Looks()
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				if looks := s.Looks(); looks != last {
					t.Errorf("%d looks after the last webhook was answered", looks-last)
				}
			})
		})
	}
}
