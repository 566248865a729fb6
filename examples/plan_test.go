package examples

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/golden"
	"rebuilder/internal/plan"
)

// TestExamplesPlan plays the life of each example and compares its plans with testdata: nothing is built yet; everything is
// as it should be; the upstream moved; and a library of its distribution is patched.
func TestExamplesPlan(t *testing.T) {
	for _, dir := range []string{"alpine-node", "centos-java", "demo", root} {
		t.Run(dir, func(t *testing.T) {
			w := newWorld(t, dir)
			w.publish(false)
			var out strings.Builder
			show := func(when string) *plan.Plan {
				p, _ := w.plan()
				fmt.Fprintf(&out, "== %s\n%s\n", when, w.text(p))
				return p
			}
			w.upstreams()
			first := show("nothing is built yet")
			w.steps(first, len(w.c.Bases))

			w.apply(first)
			w.steps(show("everything is as it should be"), 0)

			w.upstreams()
			moved := show("the upstream moved")
			w.steps(moved, len(w.c.Bases)+w.toTell())
			w.apply(moved)
			if p, _ := w.plan(); !p.Empty() {
				t.Errorf("it was applied, and yet there is to be done:\n%s", w.text(p))
			}

			w.publish(true)
			patched := show("a library is patched")
			w.steps(patched, len(w.c.Bases)+w.toTell())
			w.apply(patched)
			if p, _ := w.plan(); !p.Empty() {
				t.Errorf("it was applied, and yet there is to be done:\n%s", w.text(p))
			}
			golden.Compare(t, filepath.Join("testdata", strings.Replace(dir, root, "root", 1)+".txt"), out.String())
		})
	}
}

// steps checks how many steps there are, so that a golden file that was written anew unread cannot hide an empty plan.
func (w *world) steps(p *plan.Plan, want int) {
	w.t.Helper()
	if len(p.Steps) != want {
		w.t.Errorf("%d steps, want %d:\n%s", len(p.Steps), want, w.text(p))
	}
	done := map[string]bool{}
	for _, s := range p.Steps {
		for _, q := range s.Parents {
			if !done[q] {
				w.t.Errorf("%s comes before %s", s.Image, q)
			}
		}
		done[s.Image] = true
	}
}

// toTell counts the images of the applications that want to be told.
func (w *world) toTell() (n int) {
	for _, a := range w.c.Applications {
		if a.Strategy != "observe" {
			n += len(a.Images)
		}
	}
	return n
}

// text is a plan for people, without what depends on the machine: digests have the names of their images, and the hash of
// a recipe, which holds the modes of files, is left out.
func (w *world) text(p *plan.Plan) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", p.Title)
	for _, s := range p.Steps {
		fmt.Fprintf(&out, "%d. %s %s: %s\n", s.Tier+1, s.Action, s.Image, s.Cause)
		for _, r := range s.Reasons {
			fmt.Fprintf(&out, "     %s\n", r)
		}
		for _, q := range s.Patches {
			fmt.Fprintf(&out, "     brings in %s %s -> %s\n", q.Package, q.From, q.To)
		}
		if len(s.Parents) > 0 {
			fmt.Fprintf(&out, "     after %s\n", strings.Join(s.Parents, ", "))
		}
	}
	for _, n := range p.NotDone {
		unknown := ""
		if n.Unknown {
			unknown = "unknown: "
		}
		fmt.Fprintf(&out, "-  %s: %s%s\n", n.Image, unknown, n.Reason)
	}
	fmt.Fprintf(&out, "of %d images %d are unknown\n", p.Images, p.Unknown)
	text := out.String()
	for id, d := range w.distributions {
		text = strings.ReplaceAll(text, d.url(), "http://"+id)
	}
	for digest, name := range w.names {
		hex := strings.TrimPrefix(digest, "sha256:")
		text = strings.ReplaceAll(strings.ReplaceAll(text, hex, name), hex[:12], name)
	}
	return text
}
