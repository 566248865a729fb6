package notify

import (
	"regexp"
	"strings"
)

// Control is something that a person may ask of a pull request by ticking a box in its body.
type Control string

const (
	Rebase Control = "rebase"    // make its commit anew, on the branch as it is now
	Skip   Control = "skip"      // close it: these digests are not proposed again
	Wait   Control = "wait"      // leave it alone until the next window
	Except Control = "exception" // ask for an exception: the findings that it fixes are accepted for a while
)

// Controls are all, in the order in which a body offers them.
func Controls() []Control { return []Control{Rebase, Skip, Wait, Except} }

// Box is the beginning of a line of Markdown with an empty box for c. The words for readers follow it.
func (c Control) Box() string { return "- [ ] <!-- rebuilder:" + string(c) + " -->" }

var ticked = regexp.MustCompile(`^[-*] \[[xX]\] *<!-- rebuilder:([a-z]+) -->`)

// Ticked are the controls whose box is ticked in a body, in the order of Controls. The body is foreign text: whoever may
// edit it may tick, so that the caller asks who did.
func Ticked(body string) (out []Control) {
	found := map[Control]bool{}
	for line := range strings.Lines(body) {
		if m := ticked.FindStringSubmatch(line); m != nil {
			found[Control(m[1])] = true
		}
	}
	for _, c := range Controls() {
		if found[c] {
			out = append(out, c)
		}
	}
	return out
}
