package plan_test

import (
	"testing"

	"rebuilder/internal/plan"
)

func TestARecipeThatChangedNamesItsCommit(t *testing.T) {
	w := current()
	w.base("base/debian", func(b *plan.Base) { b.Recipe = "rd2" })
	w.base("base/python", func(b *plan.Base) { b.Recipe, b.Revision = "rp2", "commit 1a2b3c4 by Ada" })
	p := w.make(t)
	for image, want := range map[string]string{"base/debian": "its recipe changed", "base/python": "its recipe changed; the last of its directory is commit 1a2b3c4 by Ada"} {
		if s, _ := p.Find(image); len(s.Reasons) == 0 || s.Reasons[0] != want {
			t.Errorf("%s: %q, want %q", image, s.Reasons, want)
		}
	}
}
