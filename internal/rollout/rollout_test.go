package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"rebuilder/internal/rollout"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// applied is a lab whose bases were built for the first time and whose applications stand on them.
func applied(t *testing.T) *lab { return appliedOn(t, storetest.SQLite(t)) }

func appliedOn(t *testing.T, dsn string) *lab { return inUse(newLab(t, dsn)) }

func inUse(l *lab) *lab {
	l.settle()
	from := fmt.Sprintf("FROM %s/base/python:stable\nCOPY . /\n", l.host)
	l.forge.add("acme/web", from, "apps/web:main")
	l.forge.add("acme/batch", from, "apps/batch:main")
	l.settle()
	return l
}

func TestTheLifeOfOneFix(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, lifeOfOneFix)
}

func lifeOfOneFix(t *testing.T, dsn string) {
	l := appliedOn(t, dsn)
	l.cut.arm(0)
	l.publish("1.1")
	l.settle()
	l.right()
	if n := l.cut.count(); n != effects {
		t.Errorf("%d effects, of which %d are cut at", n, effects)
	}
	ro, nodes := l.last()
	if ro.Cause != "package" || !strings.Contains(ro.Title, "libfoo 1.0 -> 1.1 in base/debian") || ro.PublishedAt == 0 || ro.NoticedAt > ro.CreatedAt {
		t.Errorf("%+v", ro)
	}
	for name, n := range nodes {
		if len(n.Detail.Changes) != 1 || n.Detail.Changes[0] != (store.Change{Package: "libfoo", From: "1.0", To: "1.1"}) {
			t.Errorf("%s: packages that differ: %+v", name, n.Detail.Changes)
		}
	}
}

// right checks the end that every undisturbed and every disturbed run must come to.
func (l *lab) right() {
	l.t.Helper()
	ro, nodes := l.last()
	if ro.State != store.Finished || len(nodes) != 4 {
		l.t.Errorf("the rollout ended as %s\n%s", ro.State, l.describe())
	}
	for name, n := range nodes {
		if n.State != store.Done || !n.Detail.Proven || n.After == n.Before || n.After == "" {
			l.t.Errorf("%s: %s (%s), proven %v, %s -> %s", name, n.State, n.Reason, n.Detail.Proven, n.Before, n.After)
		}
	}
	for _, base := range []string{"base/debian", "base/python"} {
		ps, err := store.Promotions(context.Background(), l.store.Q(), base, 10)
		if err != nil || len(ps) != 2 {
			l.t.Errorf("%s was promoted %d times, want the first time and this one: %v", base, len(ps), err)
		}
	}
	if pulls, _, _ := l.forge.counts(); pulls != 1 {
		l.t.Errorf("%d pull requests, want 1", pulls)
	}
}

func TestAtRestNothingIsWritten(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.publish("1.1")
	l.settle()
	pushes := l.pushes.Load()
	_, _, writes := l.forge.counts()
	for range 100 {
		if err := l.loop.Once(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	_, _, after := l.forge.counts()
	if n := l.pushes.Load() - pushes; n != 0 || after != writes {
		t.Errorf("%d writes to the registry, %d to the forge", n, after-writes)
	}
}

func TestPatchNotTaken(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.builder.set(func(b *scripted) { b.held = true })
	tags := l.tags.Load()
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	n := nodes["base/debian"]
	if n.State != store.NotTaken || !strings.Contains(n.Reason, "libfoo is still 1.0, not 1.1 (held)") {
		t.Errorf("base/debian: %s: %s", n.State, n.Reason)
	}
	for _, name := range []string{"base/python", "web", "batch"} {
		if nodes[name].State != store.Skipped {
			t.Errorf("%s: %s: %s", name, nodes[name].State, nodes[name].Reason)
		}
	}
	if got := l.tags.Load(); got != tags {
		t.Errorf("%d tags were written", got-tags)
	}
	if pulls, dispatches, _ := l.forge.counts(); pulls+dispatches != 0 {
		t.Errorf("%d pull requests, %d dispatches", pulls, dispatches)
	}
	builds := l.builder.count("base/debian")
	for range 20 {
		l.settle()
	}
	if got := l.builder.count("base/debian"); got != builds {
		t.Errorf("built %d times more though nothing changed", got-builds)
	}
	said := ""
	for _, n := range l.plan().NotDone {
		said += n.Reason + "\n"
	}
	if !strings.Contains(said, "patch not taken: libfoo is still 1.0") {
		t.Errorf("the plan does not say it: %s", said)
	}
}

func TestANotTakenPatchIsTriedAgainWhenTheRecipeChanges(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.builder.set(func(b *scripted) { b.held = true })
	l.publish("1.1")
	l.settle()
	l.builder.set(func(b *scripted) { b.held = false })
	l.write("debian/Dockerfile", fmt.Sprintf(dockerfileDebian, l.host)+"# no hold any more\n")
	l.settle()
	l.right()
}

func TestAFailedBuildIsSaidAndItsChildrenAreSkipped(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.builder.set(func(b *scripted) { b.fail = "base/debian" })
	l.publish("1.1")
	l.settle()
	ro, nodes := l.last()
	if ro.State != store.Broken || nodes["base/debian"].State != store.Failed || nodes["base/python"].State != store.Skipped {
		t.Error(l.describe())
	}
	if n := l.builder.count("base/debian"); n != 2 {
		t.Errorf("built %d times, want the first build and one failure", n)
	}
}

func TestTheSameContentIsNotPromoted(t *testing.T) {
	t.Parallel()
	l := applied(t)
	tags := l.tags.Load()
	l.write("python/Dockerfile", fmt.Sprintf("FROM %s/base/debian:stable\nRUN true\n# a comment\n", l.host))
	l.settle()
	_, nodes := l.last()
	if n := nodes["base/python"]; n.State != store.Unchanged || l.tags.Load() != tags {
		t.Errorf("%s: %s, %d tags written", n.State, n.Reason, l.tags.Load()-tags)
	}
}

// rollouts counts all there ever were.
func (l *lab) rollouts() int {
	l.t.Helper()
	all, err := store.Rollouts(context.Background(), l.store.Q(), 100)
	if err != nil {
		l.t.Fatal(err)
	}
	return len(all)
}

func TestWhoCannotBeToldIsNotTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*forge)
		want store.NodeState
	}{
		{"the forge refuses", func(f *forge) { f.refuse = true }, store.Failed},
		{"somebody else has committed", func(f *forge) { f.human = true }, store.Blocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := applied(t)
			l.forge.set(c.set)
			l.publish("1.1")
			l.settle()
			_, nodes := l.last()
			if n := nodes["web"]; n.State != c.want {
				t.Errorf("web: %s: %s", n.State, n.Reason)
			}
			was := l.rollouts()
			for range 20 {
				l.settle()
			}
			if now := l.rollouts(); now != was {
				t.Errorf("%d rollouts, were %d: it loops", now, was)
			}
			said := ""
			for _, n := range l.plan().NotDone {
				said += n.Reason
			}
			if !strings.Contains(said, "could not be told") {
				t.Errorf("the plan does not say it: %s", said)
			}
		})
	}
}

func TestAClosedPullRequestIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.publish("1.1")
	l.until(func() bool { return l.forge.open() })
	if err := l.forge.ClosePullRequest(context.Background(), "acme/web", 1, ""); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		l.settle()
	}
	_, nodes := l.last()
	if n := nodes["web"]; n.State != store.Skipped || !strings.Contains(n.Reason, "closed without merging") {
		t.Errorf("web: %s: %s", n.State, n.Reason)
	}
	if pulls, _, _ := l.forge.counts(); pulls != 1 {
		t.Errorf("%d pull requests", pulls)
	}
}

// The process ends when the pull request is there and nobody has written it down; it is merged before the next start.
func TestMergedWhileTheDaemonIsDown(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.cut.armAt("after pull request")
	l.publish("1.1")
	l.until(func() bool { return l.cut.happened() })
	l.stop()
	l.forge.merge()
	l.start()
	l.settle()
	l.right()
	ps, err := store.LastProposals(context.Background(), l.store.Q())
	if p := ps["web"]; err != nil || len(p) != 1 || p[0].Number != 1 || p[0].MergedAt == 0 {
		t.Errorf("it is not known which pull request did it: %+v (%v)", p, err)
	}
}

func TestAChangeThatWasTakenBackIsNotProposedAgain(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"followed", "before anybody looked"} {
		t.Run(when, func(t *testing.T) {
			l := applied(t)
			l.forge.set(func(f *forge) { f.idle = true })
			l.publish("1.1")
			l.until(l.forge.open)
			l.forge.merge()
			if when == "followed" {
				l.until(func() bool {
					p, err := store.LastProposals(context.Background(), l.store.Q())
					return err == nil && len(p["web"]) == 1 && p["web"][0].State == store.ProposalMerged
				})
			}
			l.forge.revert("acme/web")
			for range 20 {
				l.settle()
			}
			_, nodes := l.last()
			if n := nodes["web"]; n.State != store.Skipped || !strings.Contains(n.Reason, "not proposed again") {
				t.Errorf("web: %s: %s", n.State, n.Reason)
			}
			if pulls, _, _ := l.forge.counts(); pulls != 1 {
				t.Errorf("%d pull requests", pulls)
			}
		})
	}
}

// Layers prove nothing of what is copied: it is done when the recipe pins the new base and the image is a new one, and
// not called proven.
func TestAnApplicationThatOnlyCopies(t *testing.T) {
	t.Parallel()
	l := newLab(t, storetest.SQLite(t))
	l.settle()
	from := fmt.Sprintf("FROM %s/base/python:stable\n", l.host)
	l.forge.add("acme/batch", from, "apps/batch:main")
	first := "FROM scratch\nCOPY --from=%s/base/python:stable%s /usr /usr\n"
	l.forge.add("acme/web", fmt.Sprintf(first, l.host, "@"+l.digest("base/python:stable")), "apps/web:main")
	l.settle()
	l.publish("1.1")
	l.settle()
	ro, nodes := l.last()
	if n := nodes["web"]; ro.State != store.Finished || n.State != store.Done || n.Detail.Proven || n.After == n.Before || !strings.Contains(n.Reason, "cannot be proven") {
		t.Errorf("%s: web: %s: %s, proven %v\n%s", ro.State, n.State, n.Reason, n.Detail.Proven, l.describe())
	}
	was := l.rollouts()
	for range 5 {
		l.settle()
	}
	if now := l.rollouts(); now != was {
		t.Errorf("%d rollouts, were %d: it loops", now, was)
	}
}

// An image stands on a base that did not move and copies from one that did: its layers say nothing of the news.
func TestAnApplicationThatInheritsAndCopies(t *testing.T) {
	t.Parallel()
	l := newLab(t, storetest.SQLite(t))
	l.settle()
	l.forge.add("acme/batch", fmt.Sprintf("FROM %s/base/debian:stable\n", l.host), "apps/batch:main")
	l.forge.add("acme/web", fmt.Sprintf("FROM %[1]s/base/debian:stable@%[2]s\nCOPY --from=%[1]s/base/python:stable@%[3]s /opt /opt\n",
		l.host, l.digest("base/debian:stable"), l.digest("base/python:stable")), "apps/web:main")
	l.settle()
	l.builder.set(func(b *scripted) { b.salt = "y" })
	l.write("python/Dockerfile", fmt.Sprintf("FROM %s/base/debian:stable\nRUN true # changed\n", l.host))
	l.until(l.forge.open)
	for range 5 {
		if err := l.loop.Once(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, nodes := l.last(); nodes["web"].State != store.Telling {
		t.Errorf("before the merge: %s: %s", nodes["web"].State, nodes["web"].Reason)
	}
	l.settle()
	if _, nodes := l.last(); nodes["web"].State != store.Done || nodes["web"].Detail.Proven {
		t.Errorf("after the merge: %s: %s, proven %v", nodes["web"].State, nodes["web"].Reason, nodes["web"].Detail.Proven)
	}
	was := l.rollouts()
	l.publish("1.1") // and now the base moves that it stands on, too
	l.settle()
	if _, nodes := l.last(); nodes["web"].State != store.Done || !nodes["web"].Detail.Proven || l.rollouts() != was+1 {
		t.Errorf("%d rollouts, were %d: %s: %s, proven %v", l.rollouts(), was, nodes["web"].State, nodes["web"].Reason, nodes["web"].Detail.Proven)
	}
}

// A recipe that names the base no more ends what it was told.
func TestARecipeThatNamesTheBaseNoMore(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.publish("1.1")
	l.until(l.forge.open)
	l.forge.set(func(f *forge) {
		r := f.repos["acme/web"]
		r.commits = append(r.commits, "FROM scratch\nCOPY . /\n")
	})
	l.until(func() bool {
		_, nodes := l.last()
		return nodes["web"].State.Ended()
	})
	if _, nodes := l.last(); nodes["web"].State != store.Skipped || !strings.Contains(nodes["web"].Reason, "names these bases any more") {
		t.Errorf("web: %s: %s", nodes["web"].State, nodes["web"].Reason)
	}
}

// Somebody else's index is on the channel of a base that is taken over.
func TestAnIndexOnTheChannelIsReplaced(t *testing.T) {
	t.Parallel()
	l := applied(t)
	l.index("base/python:stable")
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	if n := nodes["base/python"]; n.State != store.Done {
		t.Errorf("%s: %s", n.State, n.Reason)
	}
}

// Two images of one application are told of together, by one dispatch.
func TestImagesOfOneApplicationAreDispatchedOnce(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, imagesOfOneApplication)
}

func imagesOfOneApplication(t *testing.T, dsn string) {
	l := newLab(t, dsn)
	l.forge.pause = 50 * time.Millisecond // so that one would overtake the other
	l.write("catalog.toml", strings.Replace(l.read("catalog.toml"), `image = "`+l.host+`/apps/batch:main"`,
		fmt.Sprintf("[[application.image]]\nimage = \"%[1]s/apps/batch-a:main\"\n[[application.image]]\nimage = \"%[1]s/apps/batch-b:main\"\n", l.host), 1))
	l.settle()
	from := fmt.Sprintf("FROM %s/base/python:stable\nCOPY . /\n", l.host)
	l.forge.add("acme/web", from, "apps/web:main")
	l.forge.add("acme/batch", from, "apps/batch-a:main", "apps/batch-b:main")
	l.settle()
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	if len(nodes) != 5 {
		t.Fatal(l.describe())
	}
	if _, dispatches, _ := l.forge.counts(); dispatches != 1 {
		t.Errorf("%d dispatches", dispatches)
	}
}

// A workflow that ends without an answer, as one that somebody cancels, is a fault: the image gets another turn, and after
// its last one it has failed and says so.
func TestAWorkflowWithoutAnAnswerGetsAnotherTurn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cancelled int
		want      store.NodeState
	}{{1, store.Done}, {2, store.Done}, {3, store.Failed}} {
		t.Run(fmt.Sprint(c.cancelled), func(t *testing.T) {
			l := applied(t)
			l.publish("1.1")
			var id string
			for turn := range c.cancelled {
				gate, built := make(chan struct{}), l.builder.count("base/debian")
				l.builder.set(func(b *scripted) { b.gate = gate })
				l.until(func() bool { return l.builder.count("base/debian") > built })
				l.builder.set(func(b *scripted) { b.gate = nil })
				ro, _ := l.last()
				id = ro.ID
				turn := rollout.Turn{Rollout: id, Image: "base/debian", Attempt: turn + 1}.ID()
				for _, w := range []string{turn, turn + "/build"} {
					if err := dbos.CancelWorkflow(l.engine.DBOS(), w); err != nil {
						t.Fatal(err)
					}
				}
				close(gate)
			}
			l.settle()
			n, err := store.GetNode(context.Background(), l.store.Q(), id, "base/debian")
			if err != nil || n.State != c.want || c.want == store.Failed && (n.Reason != "its workflow ended as CANCELLED" || n.Who != "who keeps rebuilder") {
				t.Errorf("%s: %s (%s), %v\n%s", n.State, n.Reason, n.Who, err, l.describe())
			}
		})
	}
}

// effects is how many moments of the rollout can be cut at: before and after each of two builds, four tags, a pull
// request and a dispatch.
const effects = 16

// The test to be proudest of: the process ends before and after each outside effect, and a new one goes on.
func TestKilledBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	storetest.EachDSN(t, func(t *testing.T, _ string) {
		for at := range effects {
			t.Run(fmt.Sprint(at+1), func(t *testing.T) {
				t.Parallel()
				dsn := storetest.SQLite(t)
				if strings.Contains(t.Name(), "/postgres/") {
					dsn = storetest.Postgres(t)
				}
				l := appliedOn(t, dsn)
				l.cut.arm(at + 1)
				l.publish("1.1")
				l.settle()
				if l.cut.where() == "" {
					t.Fatalf("there is no effect %d to cut at", at+1)
				}
				t.Log("cut", l.cut.where())
				l.right()
			})
		}
	})
}
