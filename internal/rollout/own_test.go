package rollout_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/inventory"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// builtByUs is a world in use in which web is built by us.
func builtByUs(t *testing.T) *lab {
	l := newLab(t, storetest.SQLite(t))
	l.write("catalog.toml", strings.Replace(l.read("catalog.toml"), `strategy = "pull-request"`, `strategy = "rebuild"`, 1))
	return inUse(l)
}

// rebuilt checks the end that every run must come to.
func (l *lab) rebuilt() {
	l.t.Helper()
	ro, nodes := l.last()
	web := nodes["web"]
	if ro.State != store.Finished || web.State != store.Done || !web.Detail.Proven || web.After == web.Before || web.Detail.Build == "" {
		l.t.Errorf("%s: web: %s (%s), proven %v, %s -> %s\n%s", ro.State, web.State, web.Reason, web.Detail.Proven, web.Before, web.After, l.describe())
	}
	if d := l.digest("apps/web:main"); d != web.After {
		l.t.Errorf("its reference is %s, want %s", d, web.After)
	}
	if n := l.builder.count("web"); n != 1 {
		l.t.Logf("built %d times", n)
	}
	ps, err := store.Promotions(l.t.Context(), l.store.Q(), "web", 10)
	if err != nil || len(ps) != 1 || ps[0].Channel != "main" || ps[0].Release == "" || ps[0].From != web.Before || ps[0].To != web.After {
		l.t.Errorf("promotions of web: %+v, %v", ps, err)
	}
	if pulls, _, _ := l.forge.counts(); pulls != 0 {
		l.t.Errorf("%d pull requests, want none", pulls)
	}
}

// rebaser does what the daemon's does, in the lab's registry.
type rebaser struct {
	lab *lab
}

func (r rebaser) Rebase(ctx context.Context, image, old, new, platform, repository string) (string, error) {
	pull := func(ref string) v1.Image { return r.lab.pull(strings.TrimPrefix(ref, r.lab.host+"/")) }
	img, err := inventory.Rebase(ctx, pull(image), pull(old), pull(new), platform)
	if err != nil {
		return "", err
	}
	return r.lab.push(img, strings.TrimPrefix(repository, r.lab.host+"/")).String(), nil
}

// rebased is a world in use in which web's layers are put on new bases.
func rebased(t *testing.T) *lab {
	l := unstarted(t)
	l.write("catalog.toml", strings.Replace(l.read("catalog.toml"), `strategy = "pull-request"`, `strategy = "rebase"`, 1))
	l.gates.Rebaser = rebaser{l}
	l.start()
	t.Cleanup(func() { l.stop() })
	return inUse(l)
}

func TestAnApplicationWhoseLayersArePutOnTheNewBase(t *testing.T) {
	t.Parallel()
	l := rebased(t)
	l.publish("1.1")
	l.settle()
	ro, nodes := l.last()
	web := nodes["web"]
	if ro.State != store.Finished || web.State != store.Done || !web.Detail.Proven || l.digest("apps/web:main") != web.After || l.builder.count("web") != 0 {
		t.Errorf("%s: web: %s: %s, built %d times\n%s", ro.State, web.State, web.Reason, l.builder.count("web"), l.describe())
	}
	l.publish("1.2")
	l.settle()
	if again := l.newest("web"); again.State != store.Done || again.Before != web.After || again.After == web.After {
		t.Errorf("the second time: %+v", again)
	}
}

func TestAnApplicationThatChangesWhatItsBaseChanges(t *testing.T) {
	t.Parallel()
	l := rebased(t)
	l.push(l.layer(l.pull("apps/web:main"), map[string]string{"var/lib/dpkg/status": status("1.0", true)}), "apps/web:main")
	before := l.digest("apps/web:main")
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	if web := nodes["web"]; web.State != store.Blocked || !strings.Contains(web.Reason, "have changed /var/lib/dpkg/status") || !strings.Contains(web.Who, "rebuild") {
		t.Errorf("web: %s: %s (%s)", web.State, web.Reason, web.Who)
	}
	if l.digest("apps/web:main") != before {
		t.Error("it was changed all the same")
	}
}

func TestAnApplicationThatWeBuild(t *testing.T) {
	t.Parallel()
	l := builtByUs(t)
	l.publish("1.1")
	l.settle()
	l.rebuilt()
	req := l.builder.last("web")
	if !strings.HasSuffix(req.Git, "/acme/web.git#1") || req.Dir != "" || req.Repository != l.host+"/apps/web" || req.Discard || len(req.Pins) != 1 || !req.Pins[0].Optional {
		t.Errorf("%+v", req)
	}
	was := l.rollouts()
	for range 3 {
		l.settle()
	}
	if now := l.rollouts(); now != was || l.builder.count("web") != 1 {
		t.Errorf("%d rollouts, were %d; %d builds: it loops", now, was, l.builder.count("web"))
	}
}

func TestAnApplicationThatWeBuildIsKilledOnTheWay(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before tag main", "after tag main"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			l := builtByUs(t)
			l.cut.armAt(at)
			l.publish("1.1")
			l.settle()
			if l.cut.where() != at {
				t.Fatalf("cut at %q", l.cut.where())
			}
			l.rebuilt()
		})
	}
}

func TestAnApplicationThatWeCannotBuild(t *testing.T) {
	t.Parallel()
	l := builtByUs(t)
	l.builder.set(func(b *scripted) { b.fail = "web" })
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	if web := nodes["web"]; web.State != store.Failed || !strings.Contains(web.Reason, "exited with 100") {
		t.Errorf("web: %s: %s", web.State, web.Reason)
	}
	was := l.builder.count("web")
	for range 3 {
		l.settle()
	}
	if now := l.builder.count("web"); now != was {
		t.Errorf("built %d times more at once", now-was)
	}
	why := ""
	for _, n := range l.plan().NotDone {
		if n.Image == "web" {
			why = n.Reason
		}
	}
	if !strings.HasPrefix(why, "it could not be built, tried once: RUN apt-get exited with 100") {
		t.Errorf("the plan says of web: %q", why)
	}
}

func TestAnApplicationOfSeveralPlatformsIsNotReplaced(t *testing.T) {
	t.Parallel()
	l := builtByUs(t)
	l.index("apps/web:main")
	before := l.digest("apps/web:main")
	l.publish("1.1")
	l.settle()
	_, nodes := l.last()
	if web := nodes["web"]; web.State != store.Blocked || !strings.Contains(web.Reason, "or is an index, and we build one platform") {
		t.Errorf("web: %s: %s", web.State, web.Reason)
	}
	if now := l.digest("apps/web:main"); now != before {
		t.Errorf("it was replaced: %s", fmt.Sprint(now))
	}
}
