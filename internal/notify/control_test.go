package notify_test

import (
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/notify"
)

func TestTicked(t *testing.T) {
	tick := func(c notify.Control) string { return strings.Replace(c.Box(), "[ ]", "[x]", 1) + " words" }
	for _, c := range []struct {
		name, body string
		want       []notify.Control
	}{
		{"none", "text\n" + notify.Rebase.Box() + " words\n", nil},
		{"one", "text\r\n" + tick(notify.Skip) + "\r\n" + notify.Rebase.Box() + "\r\n", []notify.Control{notify.Skip}},
		{"two, in our order, each once", tick(notify.Wait) + "\n" + tick(notify.Rebase) + "\n" + tick(notify.Wait), []notify.Control{notify.Rebase, notify.Wait}},
		{"as GitHub's editor may write it", "* [X] <!-- rebuilder:exception --> words", []notify.Control{notify.Except}},
		{"not at the beginning of a line", "`" + tick(notify.Skip) + "`", nil},
		{"one that is not known", "- [x] <!-- rebuilder:merge --> words", nil},
	} {
		if got := notify.Ticked(c.body); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
