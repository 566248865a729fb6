package notify

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Action is what a person asks for at a pull request or a dashboard: by a comment, a tick or a label.
type Action string

// The actions. All of them need write access to the repository.
const (
	Rebase   Action = "rebase"    // make our commit again on the tip of the branch
	Skip     Action = "skip"      // close it: these digests are not proposed again
	Wait     Action = "wait"      // leave it as it is for a while
	TakeOver Action = "take-over" // replace what others have committed to it
	Except   Action = "exception" // accept for a while what it fixes
	Never    Action = "never"     // close it: this base is never proposed here again
	OpenNow  Action = "open"      // do not wait any longer
)

// Desk is what a forge needs to have people ask for things. All writes are safe to repeat.
type Desk interface {
	// MayWrite says that somebody may push to a repository; ErrNotFound when there is no such person or repository.
	MayWrite(ctx context.Context, repo, login string) (bool, error)
	// React answers a comment: yes or no.
	React(ctx context.Context, repo string, comment int64, yes bool) error
	// Reply makes a comment, once by its id.
	Reply(ctx context.Context, repo string, number int, id, text string) error
	// Untick empties the boxes in the body of a pull request or an issue.
	Untick(ctx context.Context, repo string, number int) error
	// Label and Unlabel add and remove one; one that is there, or is not, is success.
	Label(ctx context.Context, repo string, number int, label string) error
	Unlabel(ctx context.Context, repo string, number int, label string) error
	// Decline closes a pull request in a person's name: what it pins is not proposed again.
	Decline(ctx context.Context, repo string, number int, reason string) error
	// Dashboard brings our issue to a title and a body, and makes it when number is 0 and there is none. One that a person
	// closed stays closed: open is false then, and nothing is written.
	Dashboard(ctx context.Context, repo string, number int, title, body string) (now int, open bool, err error)
}

// LabelPrefix begins the labels that ask for something: "rebuilder:never".
const LabelPrefix = "rebuilder:"

// UsualWait is how long Wait waits when nothing else is said, and LongestWait what is taken at most.
const (
	UsualWait   = 24 * time.Hour
	LongestWait = 30 * 24 * time.Hour
)

// Asked is one thing that a person asks for.
type Asked struct {
	Action Action
	Line   string        // of a dashboard: which base line or application; empty: that of the pull request
	For    time.Duration // of Wait
}

// Box is a line of Markdown with a checkbox that asks for something when it is ticked. arg may be empty; text is written as
// it is.
func Box(a Action, arg, text string) string {
	name := string(a)
	if arg != "" {
		name += " " + arg
	}
	return fmt.Sprintf("- [ ] <!-- rebuilder:%s -->%s", name, text)
}

var (
	box        = regexp.MustCompile(`(?m)^([ \t]*[-*] \[)([ xX])(\] <!-- rebuilder:([a-z-]+)(?: ([^\s<>]{1,200}))? -->)`)
	commandFor = regexp.MustCompile(`^([0-9]{1,4})([hd])$`)
)

const (
	maxAsked = 10       // of one text
	maxRead  = 64 << 10 // bytes of one text; GitHub takes about as many
	maxLines = 200
)

// Ticked returns what the ticked boxes of a text ask for. Text of strangers is bounded: the first 64 KiB count, and ten
// boxes at most.
func Ticked(body string) []Asked {
	var out []Asked
	for _, m := range box.FindAllStringSubmatch(body[:min(len(body), maxRead)], -1) {
		a := Action(m[4])
		if m[2] == " " || !a.known() || len(out) == maxAsked {
			continue
		}
		out = append(out, Asked{Action: a, Line: m[5], For: waitFor(a, "")})
	}
	return out
}

// Untick returns a text with all of our boxes empty.
func Untick(body string) string { return box.ReplaceAllString(body, "${1} ${3}") }

// Commands returns what the lines of a comment ask for that begin with "/rebuilder": "/rebuilder wait 3d". Other text, and
// commands that are not known, ask for nothing.
func Commands(comment string) []Asked {
	var out []Asked
	lines := strings.SplitN(comment[:min(len(comment), maxRead)], "\n", maxLines+1)
	for _, line := range lines[:min(len(lines), maxLines)] {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "/rebuilder" || len(out) == maxAsked {
			continue
		}
		verb, rest := Action(strings.ToLower(words[1])), words[2:]
		if verb == "take" && len(rest) > 0 && strings.EqualFold(rest[0], "over") {
			verb, rest = TakeOver, rest[1:]
		}
		if !verb.known() {
			continue
		}
		a := Asked{Action: verb, For: waitFor(verb, "")}
		if len(rest) > 0 {
			a.For = waitFor(verb, rest[0])
		}
		out = append(out, a)
	}
	return out
}

// Labelled returns what a label asks for; ok is false when that is nothing.
func Labelled(label string) (asked Asked, ok bool) {
	name, ok := strings.CutPrefix(strings.ToLower(label), LabelPrefix)
	a := Action(strings.ReplaceAll(name, " ", "-"))
	return Asked{Action: a, For: waitFor(a, "")}, ok && a.known()
}

func (a Action) known() bool {
	switch a {
	case Rebase, Skip, Wait, TakeOver, Except, Never, OpenNow:
		return true
	}
	return false
}

// waitFor reads how long to wait: "12h", "3d"; what cannot be read is the usual time.
func waitFor(a Action, text string) time.Duration {
	if a != Wait {
		return 0
	}
	m := commandFor.FindStringSubmatch(text)
	if m == nil {
		return UsualWait
	}
	var n int
	_, _ = fmt.Sscan(m[1], &n)
	unit := time.Hour
	if m[2] == "d" {
		unit = 24 * time.Hour
	}
	return min(max(time.Duration(n)*unit, time.Hour), LongestWait)
}
