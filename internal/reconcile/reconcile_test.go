package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
)

var person = rollout.Actor{Name: "ada", Kind: store.Human, Rule: "manual"}

func TestABrokenCatalogIsSaidAndNotUsed(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world)
		says  []string
	}{
		{"not TOML", func(w *world) { w.change(`name = "base/python"`, `name = "base/python`) }, []string{"catalog.toml:17", "close the quotes"}},
		{"two mistakes", func(w *world) {
			w.change(`context = "python"`, `context = "pyton"`)
			w.change(`settle`, `setle`)
		}, []string{"catalog.toml:18", "catalog.toml:7", `"setle"`}},
		{"gone", func(w *world) {
			if err := os.Remove(w.file); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"catalog.toml is gone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, at(noon()))
			w.once()
			was, before := w.loop.Catalog(), w.plan().ID
			c.spoil(w)
			for range 2 { // it does not wear off
				w.once()
				last := w.loop.Last()
				for _, s := range c.says {
					if !strings.Contains(last.CatalogProblem, s) {
						t.Errorf("%q is not in %q", s, last.CatalogProblem)
					}
				}
				if last.Catalog != was || w.loop.Catalog() != was {
					t.Error("the catalog in use is another one")
				}
				if last.Problem != "" || last.Plan.ID != before || w.plan().ID != before {
					t.Errorf("the daemon did not go on with the old one: %q", last.Problem)
				}
			}
			w.write(w.file, strings.Replace(twoBases, `settle = "10m"`, `settle = "3m"`, 1))
			w.once()
			if last := w.loop.Last(); last.CatalogProblem != "" || last.Catalog == was || last.Catalog.Watch.Settle != 3*time.Minute {
				t.Errorf("the mended one is not used: %q, settle %s", last.CatalogProblem, last.Catalog.Watch.Settle)
			}
		})
	}
}

// A plan that a person asks for is one of the catalog as it is now, not as it was at the last look.
func TestPlanAndApplyReadTheCatalogToo(t *testing.T) {
	w := newWorld(t, at(noon()))
	w.patch(time.Hour)
	p := w.plan()
	w.change("[[base]]\nname = \"base/python\"\ncontext = \"python\"\n", "")
	_, err := w.loop.Apply(t.Context(), p.ID, person)
	if !errors.Is(err, rollout.ErrMoved) || !strings.Contains(err.Error(), "base/python is not known now") {
		t.Errorf("applied on another catalog: %v", err)
	}
	if p := w.plan(); len(p.Steps) != 1 {
		t.Errorf("%d steps, want base/debian alone", len(p.Steps))
	}
}

func TestApplyStartsWhatWasShown(t *testing.T) {
	w := newWorld(t, at(noon()))
	w.patch(time.Minute) // inside the settle window: a person need not wait
	p := w.plan()
	if len(w.started) != 0 {
		t.Fatal("showing a plan started it")
	}
	id, err := w.loop.Apply(t.Context(), p.ID, person)
	if err != nil || id != "r-1" {
		t.Fatalf("%q: %v", id, err)
	}
	if got := w.started[0]; got.ID != p.ID || !slices.EqualFunc(got.Steps, p.Steps, same) {
		t.Errorf("started %+v, shown was %+v", got.Steps, p.Steps)
	}
	stored, err := store.GetPlan(t.Context(), w.st.Q(), p.ID)
	if err != nil || stored.ID != p.ID {
		t.Errorf("stored as %+v: %v", stored, err)
	}
}

func TestApplyRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		move func(w *world, shown *plan.Plan)
		is   error
		says string
	}{
		{"a recipe changed", func(w *world, _ *plan.Plan) { w.base("base/python", func(b *plan.Base) { b.Recipe = "r2" }) }, rollout.ErrMoved, "base/python is not what it was"},
		{"an upstream moved", func(w *world, _ *plan.Plan) { w.seen.Upstreams["upstream/debian"] = image("debian:12", "U2", "u2") }, rollout.ErrMoved, "upstream/debian is not what it was"},
		{"an upstream cannot be seen", func(w *world, _ *plan.Plan) { w.seen.Upstreams["upstream/debian"] = plan.Image{Unknown: "503"} }, rollout.ErrMoved, "upstream/debian is not known now"},
		{"only the patch is another", func(w *world, _ *plan.Plan) {
			w.base("base/debian", func(b *plan.Base) { b.Patches[0].To = "3.0.23" })
		}, rollout.ErrMoved, "base/debian is to be done otherwise"},
		{"a child stands on something else", func(w *world, _ *plan.Plan) {
			w.base("base/python", func(b *plan.Base) {
				b.Parents = []plan.Parent{{Name: "upstream/debian", Reference: "debian:12", Kind: graph.Inherits, Where: "Dockerfile:1"}}
			})
		}, rollout.ErrMoved, "base/python is not to be done any more"},
		{"was applied", func(w *world, p *plan.Plan) {
			if _, err := w.loop.Apply(w.t.Context(), p.ID, person); err != nil {
				w.t.Error(err)
			}
		}, ErrApplied, "by rollout r-1"},
		{"was applied, and ended well", func(w *world, p *plan.Plan) {
			if _, err := w.loop.Apply(w.t.Context(), p.ID, person); err != nil {
				w.t.Error(err)
			}
			w.end("r-1", store.Finished)
		}, ErrApplied, "by rollout r-1"},
		{"nothing can be seen", func(w *world, _ *plan.Plan) { w.blind = errBlind }, errBlind, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, at(noon()))
			w.patch(time.Hour)
			p := w.plan()
			c.move(w, p)
			was := len(w.started)
			_, err := w.loop.Apply(t.Context(), p.ID, person)
			if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%v, want %v that says %q", err, c.is, c.says)
			}
			if len(w.started) != was {
				t.Error("it was started all the same")
			}
		})
	}
}

var errBlind = errors.New("the database is locked")

func TestApplyOfNothing(t *testing.T) {
	w := newWorld(t, at(noon()))
	if _, err := w.loop.Apply(t.Context(), w.plan().ID, person); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty plan: %v", err)
	}
	if _, err := w.loop.Apply(t.Context(), "p-unheard-of", person); !errors.Is(err, store.ErrNoRows) || !strings.Contains(err.Error(), "p-unheard-of") {
		t.Errorf("a plan that was never shown: %v", err)
	}
}

func TestAPlanWhoseRolloutsAllFailedMayBeAppliedAgain(t *testing.T) {
	for _, s := range []store.RolloutState{store.Broken, store.Cancelled} {
		w := newWorld(t, at(noon()))
		w.patch(time.Hour)
		id := w.plan().ID
		for i := range 3 {
			if _, err := w.loop.Apply(t.Context(), id, person); err != nil {
				t.Fatalf("after %d rollouts that ended as %s: %v", i, s, err)
			}
			w.end(fmt.Sprintf("r-%d", i+1), s)
		}
		if _, err := w.loop.Apply(t.Context(), id, person); err != nil {
			t.Fatal(err)
		}
		w.end("r-4", store.Finished)
		if _, err := w.loop.Apply(t.Context(), id, person); !errors.Is(err, ErrApplied) || !strings.Contains(err.Error(), "r-4") {
			t.Errorf("one of them did well: %v", err)
		}
	}
}

func TestALookThatFailsKeepsTheOldPicture(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	w.patch(time.Minute)
	w.once()
	before := w.loop.Last()
	w.blind = errBlind
	*now = now.Add(time.Minute)
	if err := w.loop.Once(t.Context()); !errors.Is(err, errBlind) {
		t.Error(err)
	}
	last := w.loop.Last()
	if last.World != before.World || last.Plan != before.Plan || !last.At.Equal(before.At) {
		t.Error("what was known is lost")
	}
	if !strings.Contains(last.Problem, "database is locked") || !last.Next.After(*now) {
		t.Errorf("problem %q, next look %s", last.Problem, last.Next)
	}
	w.blind = nil
	w.plan()
	if p := w.loop.Last().Problem; p != "" {
		t.Errorf("it can see again, and yet: %s", p)
	}
}

func TestHeartbeats(t *testing.T) {
	now := noon()
	w := newWorld(t, at(now))
	check := func(want store.Watcher) {
		t.Helper()
		if got := w.heart(want.Name); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	w.once()
	first := now.UnixMilli()
	hour := time.Hour.Milliseconds()
	for _, name := range []string{"reconcile", "packages", "upstreams"} {
		check(store.Watcher{Name: name, LastRun: first, LastOK: first, NextRun: first + hour})
	}

	*now = now.Add(time.Minute)
	w.blind = errBlind
	_ = w.loop.Once(t.Context())
	check(store.Watcher{Name: "reconcile", LastRun: now.UnixMilli(), LastOK: first, NextRun: now.UnixMilli() + hour, Error: errBlind.Error()})
	check(store.Watcher{Name: "packages", LastRun: first, LastOK: first, NextRun: first + hour}) // nobody asked them

	// A daemon that goes down in the middle of a look has seen nothing wrong.
	w.blind = nil
	*now = now.Add(time.Minute)
	w.once()
	ctx, cancel := context.WithCancel(t.Context())
	w.watch = func(ctx context.Context) error { cancel(); return ctx.Err() }
	if err := w.loop.Once(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	check(store.Watcher{Name: "reconcile", LastRun: now.UnixMilli(), LastOK: now.UnixMilli(), NextRun: now.UnixMilli() + hour})
	if p := w.loop.Last().Problem; p != "" {
		t.Errorf("shown as a problem: %s", p)
	}
}

func TestWhatIsDueIsStartedByItself(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(w *world)
		started int
	}{
		{"due", func(*world) {}, 1},
		{"in the settle window", func(w *world) { w.patch(time.Minute) }, 0},
		{"not automatic", func(w *world) { w.change("[rollout]", "[rollout]\nautomatic = false") }, 0},
		{"refused by the database", func(w *world) { w.refuse = errBlind }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, at(noon()))
			w.patch(time.Hour)
			c.change(w)
			if err := w.loop.Once(t.Context()); !errors.Is(err, w.refuse) {
				t.Error(err)
			}
			if len(w.started) != c.started || w.follows != 1 {
				t.Errorf("%d started, %d followed", len(w.started), w.follows)
			}
			if c.started == 0 && w.resumes != 1 {
				t.Error("what runs already must go on")
			}
		})
	}
}

// The world of this test does not change whatever is done: no rollout builds anything or remembers anything. It must not
// be tried at each look for that.
func TestAPlanThatChangesNothingIsNotStartedAgainAtOnce(t *testing.T) {
	for _, c := range []struct {
		ends  store.RolloutState
		says  string
		again []time.Duration // how long after the end of the one before
	}{
		{store.Broken, "r-1 of this very plan ended as failed, and nothing is different since: base/debian: exit 100", []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour}},
		{store.Finished, "r-1 of this very plan ended as done", []time.Duration{30 * time.Minute}},
		{store.Cancelled, "r-1 of this very plan was cancelled; rebuilder apply p-", nil},
		{store.Running, "r-1 of this very plan is running", nil},
	} {
		t.Run(string(c.ends), func(t *testing.T) {
			now := noon()
			w := newWorld(t, at(now))
			w.patch(time.Hour)
			w.once()
			for _, wait := range append(c.again, 0) {
				n := len(w.started)
				w.end(fmt.Sprintf("r-%d", n), c.ends)
				for range 3 {
					*now = now.Add(time.Second)
					w.once()
				}
				if len(w.started) != n {
					t.Fatalf("started again %d times", len(w.started)-n)
				}
				held := w.loop.Last().Plan.NotDone
				if n == 1 && (len(held) != 1 || !strings.Contains(held[0].Reason, c.says)) {
					t.Errorf("%+v, want %q", held, c.says)
				}
				if wait == 0 {
					break
				}
				slot := now.Add(wait - 3*time.Second)
				if want := slot; wait < time.Hour && !w.loop.Last().Next.Equal(want) {
					t.Errorf("looks again at %s, want %s", w.loop.Last().Next, want)
				}
				*now = slot.Add(-time.Millisecond)
				if w.once(); len(w.started) != n {
					t.Errorf("not yet: %d", len(w.started))
				}
				*now = slot
				if w.once(); len(w.started) != n+1 {
					t.Errorf("%d started, want another after %s", len(w.started), wait)
				}
			}
			*now = now.Add(48 * time.Hour)
			if n := len(w.started); c.again == nil {
				if w.once(); len(w.started) != n {
					t.Error("that is for a person")
				}
			}
			w.base("base/debian", func(b *plan.Base) { b.Recipe = "r2" })
			if n := len(w.started); c.ends != store.Running {
				if w.once(); len(w.started) != n+1 {
					t.Error("another plan is another plan")
				}
			}
		})
	}
}

func TestAfter(t *testing.T) {
	now := *noon()
	in := func(d time.Duration) time.Time { return now.Add(d) }
	some := []plan.Step{{Image: "i"}}
	for _, c := range []struct {
		name string
		plan *plan.Plan
		want time.Duration
	}{
		{"no plan yet", nil, time.Hour},
		{"nothing to do", &plan.Plan{}, time.Hour},
		{"nothing to do: no window", &plan.Plan{NotBefore: in(time.Minute)}, time.Hour},
		{"the window ends before", &plan.Plan{Steps: some, NotBefore: in(time.Minute)}, time.Minute},
		{"the window ends later", &plan.Plan{Steps: some, NotBefore: in(2 * time.Hour)}, time.Hour},
		{"the window has ended", &plan.Plan{Steps: some, NotBefore: in(-time.Minute)}, time.Hour},
		{"no window", &plan.Plan{Steps: some}, time.Hour},
		{"a slot", &plan.Plan{NotDone: []plan.NotDone{{}, {Next: in(20 * time.Minute)}, {Next: in(30 * time.Minute)}}}, 20 * time.Minute},
		{"a slot that has passed", &plan.Plan{NotDone: []plan.NotDone{{Next: now}}}, time.Hour},
		{"a slot before the window's end", &plan.Plan{Steps: some, NotBefore: in(5 * time.Minute), NotDone: []plan.NotDone{{Next: in(4 * time.Minute)}}}, 4 * time.Minute},
	} {
		if got := after(c.plan, now, time.Hour).Sub(now); got != c.want {
			t.Errorf("%s: in %s, want %s", c.name, got, c.want)
		}
	}
}

func TestBreath(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		-time.Second: 100 * time.Millisecond, // the clock was put back
		0:            100 * time.Millisecond,
		time.Second:  time.Second,
		time.Hour:    time.Minute,
	} {
		if got := breath(took); got != want {
			t.Errorf("after %s: %s, want %s", took, got, want)
		}
	}
}

func TestMoved(t *testing.T) {
	inputs := func(pairs ...string) *plan.Plan {
		p := &plan.Plan{}
		for i := 0; i < len(pairs); i += 2 {
			p.Inputs = append(p.Inputs, plan.Input{Name: pairs[i], Value: pairs[i+1]})
		}
		return p
	}
	steps := func(reasons ...string) *plan.Plan {
		p := &plan.Plan{}
		for i := 0; i < len(reasons); i += 2 {
			p.Steps = append(p.Steps, plan.Step{Image: reasons[i], Reasons: reasons[i+1 : i+2]})
		}
		return p
	}
	for _, c := range []struct {
		name    string
		was, is *plan.Plan
		want    string
	}{
		{"changed", inputs("a", "1", "b", "1"), inputs("a", "1", "b", "2"), "b is not what it was"},
		{"new", inputs("a", "1"), inputs("a", "1", "b", "1"), "b is not what it was"},
		{"gone", inputs("a", "1", "b", "1", "c", "1"), inputs("a", "1"), "b is not known now, c is not known now"},
		{"many", inputs(), inputs("a", "", "b", "", "c", "", "d", "", "e", "", "f", "", "g", ""),
			"a is not what it was, b is not what it was, c is not what it was, d is not what it was, e is not what it was, and 2 more"},
		{"only steps", steps("a", "x", "b", "x", "c", "x"), steps("a", "x", "b", "y", "d", "x"), "b is to be done otherwise or for another reason, d is to be done, too, c is not to be done any more"},
		{"nothing that can be named", steps("a", "x"), steps("a", "x"), "its steps are others now"},
	} {
		if got := moved(c.was, c.is); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// run starts the loop on a clock of its own; the function ends it and waits for its end.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.loop.Run(ctx)
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func TestRunWakesAtTheEndOfTheSettleWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		w.patch(4 * time.Minute)
		defer w.run()()
		time.Sleep(6*time.Minute - time.Second)
		synctest.Wait()
		if _, n := w.counts(); n != 0 {
			t.Error("started before the window's end")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if looks, n := w.counts(); n != 1 || looks != 2 {
			t.Errorf("%d started in %d looks", n, looks)
		}
	})
}

func TestRunLooksInTimeAndWhenWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		defer w.run()()
		looks := func(want int) {
			t.Helper()
			synctest.Wait()
			if got, _ := w.counts(); got != want {
				t.Fatalf("%d looks, want %d", got, want)
			}
		}
		looks(1)
		time.Sleep(time.Hour + time.Second)
		looks(2)
		time.Sleep(time.Minute)
		w.loop.Wake()
		looks(3)
		for range 1000 { // a rollout that is busy: one look, after a breath
			w.loop.Wake()
		}
		looks(3)
		time.Sleep(100 * time.Millisecond)
		looks(4)
		time.Sleep(time.Minute)
		looks(4)
		w.fail(errBlind) // it goes on
		time.Sleep(2 * time.Hour)
		looks(6)
	})
}

// What goes by the catalog between looks need not wait for one, and a changed catalog is a reason to look.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		defer w.run()()
		reload := func(want int) {
			t.Helper()
			time.Sleep(time.Minute)
			w.loop.Reload()
			synctest.Wait()
			if got, _ := w.counts(); got != want {
				t.Errorf("%d looks, want %d", got, want)
			}
		}
		reload(1)
		w.change(`settle = "10m"`, `settle = "3m"`)
		if reload(2); w.loop.Catalog().Watch.Settle != 3*time.Minute {
			t.Error("it is not read")
		}
		reload(2)
		w.change(`settle = "3m"`, `setle = "3m"`)
		if reload(2); !strings.Contains(w.loop.Last().CatalogProblem, "setle") {
			t.Errorf("problem %q", w.loop.Last().CatalogProblem)
		}
	})
}

// What a person was shown as due must not wait for a look that is an hour away.
func TestAPlanThatIsDueMakesTheLoopLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		defer w.run()()
		time.Sleep(time.Minute)
		w.patch(0)
		p := w.plan()
		synctest.Wait()
		if want := time.Now().Add(10 * time.Minute); !p.NotBefore.Equal(want) || !w.loop.Last().Next.Equal(want) {
			t.Errorf("not before %s, next look %s, want %s", p.NotBefore, w.loop.Last().Next, want)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, n := w.counts(); n != 1 {
			t.Error("not started at the time that was shown")
		}
	})
}

func TestRunEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		first func(w *world) // before Run
		wait  time.Duration
		looks int
	}{
		{"between two looks", func(*world) {}, time.Minute, 1},
		{"while it takes a breath", func(*world) {}, 0, 1},
		{"in the middle of a look", func(w *world) {
			w.watch = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, time.Minute, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, time.Now)
				c.first(w)
				stop := w.run()
				time.Sleep(c.wait)
				began := time.Now()
				stop()
				looks, _ := w.counts()
				if took := time.Since(began); took != 0 || looks != c.looks {
					t.Errorf("it took %s more and %d looks", took, looks)
				}
			})
		})
	}
}

// Follow and a start that fail are said, and neither stops the loop nor loses what was seen.
func TestAStartThatFailsIsShown(t *testing.T) {
	w := newWorld(t, at(noon()))
	w.patch(time.Hour)
	w.refuse = errors.New("disk full")
	if err := w.loop.Once(t.Context()); err == nil {
		t.Error("nothing is said")
	}
	if last := w.loop.Last(); !strings.Contains(last.Problem, "disk full") || last.Plan.Empty() {
		t.Errorf("problem %q, plan %+v", last.Problem, last.Plan)
	}
	w.refuse = nil
	w.once()
	if last := w.loop.Last(); last.Problem != "" || len(w.started) != 1 {
		t.Errorf("problem %q, %d started", last.Problem, len(w.started))
	}
}

// Who waits for the first look does not wait for one that works.
func TestLooked(t *testing.T) {
	w := newWorld(t, at(noon()))
	select {
	case <-w.loop.Looked():
		t.Fatal("before the first look")
	default:
	}
	w.fail(errBlind)
	for range 2 {
		if err := w.loop.Once(t.Context()); !errors.Is(err, errBlind) {
			t.Fatal(err)
		}
		<-w.loop.Looked()
	}
}
