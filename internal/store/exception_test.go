package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/policy"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

var asked = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func exceptionOf(request string) store.Exception {
	return store.Exception{
		Request: request, Finding: "CVE-2026-1234", Images: []string{"base/*", "web"}, Package: "openssl", Reason: "uploads are off", Owner: "web team",
		Requester: "ada", RequestedAt: asked.UnixMilli(), Expires: asked.AddDate(0, 1, 0).UnixMilli(),
	}
}

func request(t *testing.T, st *store.Store, e store.Exception) store.Exception {
	t.Helper()
	got, created, err := store.RequestException(t.Context(), st.Q(), e)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	return got
}

// actions are what the audit log tells of an exception, the oldest first.
func actions(t *testing.T, st *store.Store, id string) (out []string) {
	t.Helper()
	events, err := store.AuditLog(t.Context(), st.Q(), store.AuditFilter{Object: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		out = append([]string{e.Actor + ": " + e.Action + ": " + e.Detail}, out...)
	}
	return out
}

func TestExceptionLife(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, at := t.Context(), asked.UnixMilli()
		first := request(t, st, exceptionOf("a"))
		if first.ID != "EX-1" || first.State != policy.ExceptionRequested {
			t.Errorf("got %+v", first)
		}
		again, created, err := store.RequestException(ctx, st.Q(), exceptionOf("a"))
		if err != nil || created || again.ID != "EX-1" {
			t.Errorf("the same once more: %+v %v %v", again, created, err)
		}
		other := exceptionOf("a")
		other.Finding = "root-user"
		if _, _, err := store.RequestException(ctx, st.Q(), other); !errors.Is(err, store.ErrOtherRequest) {
			t.Errorf("another one under the same id: %v", err)
		}
		second := request(t, st, exceptionOf("b"))
		third := request(t, st, exceptionOf("c"))

		if e, err := store.ApproveException(ctx, st.Q(), "ex-1", "grace", at+1); err != nil || e.State != policy.ExceptionApproved || e.Approver != "grace" || e.ApprovedAt != at+1 {
			t.Errorf("approved: %+v %v", e, err)
		}
		if e, err := store.ApproveException(ctx, st.Q(), "EX-1", "linus", at+2); err != nil || e.Approver != "grace" {
			t.Errorf("approved once more: %+v %v", e, err)
		}
		if e, err := store.RejectException(ctx, st.Q(), second.ID, "grace", "upgrade it", at+3); err != nil || e.State != policy.ExceptionRejected || e.EndedWhy != "upgrade it" {
			t.Errorf("rejected: %+v %v", e, err)
		}
		if e, err := store.RevokeException(ctx, st.Q(), "EX-1", "ada", "it is fixed", at+4); err != nil || e.State != policy.ExceptionRevoked || e.EndedBy != "ada" || e.Approver != "grace" {
			t.Errorf("revoked: %+v %v", e, err)
		}
		if _, err := store.RevokeException(ctx, st.Q(), "EX-1", "grace", "", at+5); err != nil {
			t.Errorf("revoked once more: %v", err)
		}

		want := []string{
			"ada: request exception: CVE-2026-1234 in openssl, base/*, web, until 2026-12-21: uploads are off",
			"grace: approve exception: CVE-2026-1234 in openssl, base/*, web",
			"ada: revoke exception: CVE-2026-1234 in openssl, base/*, web: it is fixed",
		}
		if got := actions(t, st, "EX-1"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("audit\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		all, err := store.ListExceptions(ctx, st.Q())
		if err != nil || len(all) != 3 || all[0].ID != third.ID || all[2].ID != "EX-1" || len(all[2].Images) != 2 {
			t.Errorf("all: %+v %v", all, err)
		}
		open, err := store.ListExceptions(ctx, st.Q(), policy.ExceptionRequested, policy.ExceptionApproved)
		if err != nil || len(open) != 1 || open[0].ID != third.ID {
			t.Errorf("open: %+v %v", open, err)
		}
		if p := open[0].Policy(); p.Approved() || !p.Expires.Equal(asked.AddDate(0, 1, 0)) || p.ID != "EX-3" {
			t.Errorf("for verdicts: %+v", p)
		}
	})
}

func TestExceptionDecisionsThatAreRefused(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, at := t.Context(), asked.UnixMilli()
		request(t, st, exceptionOf("a"))
		rejected := request(t, st, exceptionOf("b"))
		if _, err := store.RejectException(ctx, st.Q(), rejected.ID, "grace", "", at); err != nil {
			t.Fatal(err)
		}
		approved := request(t, st, exceptionOf("c"))
		if _, err := store.ApproveException(ctx, st.Q(), approved.ID, "grace", at); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			decide func() (store.Exception, error)
			want   string
		}{
			{"by who asked", func() (store.Exception, error) { return store.ApproveException(ctx, st.Q(), "EX-1", " Ada ", at) }, "exception EX-1 was asked for by ada, who may not approve it: it takes somebody else"},
			{"by nobody", func() (store.Exception, error) { return store.ApproveException(ctx, st.Q(), "EX-1", " ", at) }, "who decides on exception EX-1 is not known"},
			{"too late", func() (store.Exception, error) {
				return store.ApproveException(ctx, st.Q(), "EX-1", "grace", at+400*86_400_000)
			}, "exception EX-1 would have expired on 2026-12-21: ask for a new one"},
			{"rejected before", func() (store.Exception, error) { return store.ApproveException(ctx, st.Q(), "EX-2", "grace", at) }, "exception EX-2 was rejected by grace: ask for a new one"},
			{"approved before", func() (store.Exception, error) { return store.RejectException(ctx, st.Q(), "EX-3", "grace", "", at) }, "exception EX-3 is approved: only what is asked for can be rejected; revoke it"},
		} {
			var refused store.Refused
			if _, err := c.decide(); !errors.As(err, &refused) || err.Error() != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		}
		for _, id := range []string{"EX-9", "EX-0", "EX-01", "ACME-1", "", "EX-99999999999999999999"} {
			if _, err := store.ApproveException(ctx, st.Q(), id, "grace", at); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if got := actions(t, st, "EX-1"); len(got) != 1 {
			t.Errorf("the log tells of what did not happen: %q", got)
		}
	})
}

func TestExceptionRequestsThatAreRefused(t *testing.T) {
	st := storetest.Open(t, storetest.SQLite(t))
	for name, c := range map[string]struct {
		change func(*store.Exception)
		want   string
	}{
		"no id":         {func(e *store.Exception) { e.Request = "" }, "an exception needs an id of its own"},
		"no finding":    {func(e *store.Exception) { e.Finding = " " }, "an exception needs a finding"},
		"no reason":     {func(e *store.Exception) { e.Reason = "" }, "an exception needs a reason"},
		"no owner":      {func(e *store.Exception) { e.Owner = "" }, "an exception needs an owner"},
		"no requester":  {func(e *store.Exception) { e.Requester = "" }, "an exception needs a requester"},
		"a long reason": {func(e *store.Exception) { e.Reason = strings.Repeat("x", 2001) }, "an exception needs a reason of at most 2000 bytes"},
		"a pattern":     {func(e *store.Exception) { e.Finding = "CVE-*" }, `"CVE-*" is not the name of a finding: name one advisory or one rule, such as CVE-2026-1234 or root-user`},
		"no pattern":    {func(e *store.Exception) { e.Images = []string{"["} }, `"[" is no pattern of images: * stands for anything but a slash, as in base/*`},
		"many images":   {func(e *store.Exception) { e.Images = make([]string, 101) }, "an exception is for at most 100 images: use patterns such as base/*"},
		"expired":       {func(e *store.Exception) { e.Expires = e.RequestedAt }, "an exception that expires at 2026-11-21 has expired already"},
		"for ever":      {func(e *store.Exception) { e.Expires += 366 * 86_400_000 }, "an exception until 2027-12-22 is as good as for ever: ask for at most a year, and look at it again then"},
	} {
		e := exceptionOf("a")
		c.change(&e)
		var refused store.Refused
		if _, _, err := store.RequestException(t.Context(), st.Q(), e); !errors.As(err, &refused) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if all, err := store.ListExceptions(t.Context(), st.Q()); err != nil || len(all) != 0 {
		t.Errorf("stored: %+v %v", all, err)
	}
}

// TestExceptionsAtTheSameMoment: each request gets an id of its own, one that is sent twice only one, and of two who decide
// one is heard.
func TestExceptionsAtTheSameMoment(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		const n = 8
		var wg sync.WaitGroup
		for i := range 2 * n {
			wg.Go(func() {
				if _, _, err := store.RequestException(t.Context(), st.Q(), exceptionOf(fmt.Sprint(i%n))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		all, err := store.ListExceptions(t.Context(), st.Q())
		if err != nil || len(all) != n || all[0].ID != fmt.Sprintf("EX-%d", n) {
			t.Fatalf("%d of %d: %+v %v", len(all), n, all, err)
		}
		for i := range n {
			wg.Go(func() {
				decide := func() (store.Exception, error) {
					return store.ApproveException(t.Context(), st.Q(), "EX-1", "grace", asked.UnixMilli())
				}
				if i%2 == 1 {
					decide = func() (store.Exception, error) {
						return store.RejectException(t.Context(), st.Q(), "EX-1", "linus", "no", asked.UnixMilli())
					}
				}
				if _, err := decide(); err != nil && !errors.As(err, new(store.Refused)) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := actions(t, st, "EX-1"); len(got) != 2 {
			t.Errorf("two have decided: %q", got)
		}
	})
}

func TestExceptionGoesWithItsAuditRow(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		no := errors.New("no")
		err := st.Tx(t.Context(), func(ctx context.Context, q store.Querier) error {
			_, _, err := store.RequestException(ctx, q, exceptionOf("a"))
			return errors.Join(err, no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if got := actions(t, st, "EX-1"); len(got) != 0 {
			t.Errorf("the log tells of what did not happen: %q", got)
		}
		if e := request(t, st, exceptionOf("a")); e.ID != "EX-1" {
			t.Errorf("the number is lost: %s", e.ID)
		}
	})
}
