// Package chat says what happens in a rollout to people: in Slack, in Teams, by e-mail. There is one Message; every medium
// says the same facts of it, in its own form, and nothing that came from outside is taken for markup anywhere: where a medium
// has text that is never parsed, that is used, elsewhere it is escaped. A medium does one thing when it is told to; when, how
// often and what has been said already is internal/announce's.
package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is how a rollout is, for people.
type Message struct {
	Rollout  string // its id
	State    string // "running", "paused", "halted", "done", "failed", "cancelled"
	Headline string // "libssl3 3.0.17-1 (DSA-5800, high) → 12 images"
	Reason   string // of State; may be empty
	Started  string // "started 02:04 UTC by automation"
	Progress []Progress
	Waits    []string // what is waited for, and until when
	Needs    []Need
	// Ahead are what is known of the time to come: an estimate, a due date; and, at the end, how long it took.
	Ahead []string
	Page  string // where it is shown; empty: unknown
	Ask   string // the command that tells more
	Links []Link // pull requests that wait
	More  int    // of them that are not listed
}

// Progress is how far one tier is. Ended counts Bad, too.
type Progress struct {
	Name         string // "tier 1", "applications"
	Ended, Total int
	Bad          int
}

// Need is what a person can do something about.
type Need struct {
	ID    string // the same as long as it is the same trouble
	What  string // an image, or the rollout
	State string
	Why   string
	Who   string
	URL   string
}

// Link is somewhere to look.
type Link struct{ Text, URL string }

// Post is one thing to say. Key names it: whoever says it again finds it by that.
type Post struct {
	Key      string // "r-12ab-1/needs 1"
	Rollout  string
	Title    string // of an e-mail, and of a notification
	Message  *Message
	Note     *Note  // nil: the message itself
	Thread   string // what the medium called the message that this is a detail of; empty: none
	Announce bool   // show it in the channel, too, not only in the thread
}

// Note is a detail of a rollout, in a sentence and a few lines.
type Note struct {
	Headline string
	Needs    []Need
	More     int // needs that are not listed
}

// Medium says things in one place.
type Medium interface {
	// Send says it and returns what the medium calls it; empty where it does not tell. An error that is an *Error says how
	// long to leave the medium alone.
	Send(ctx context.Context, p Post) (id string, err error)
}

// Editor is a medium that can change what it said and look for what it may have said.
type Editor interface {
	Medium
	// Edit says p in the place of what id names.
	Edit(ctx context.Context, id string, p Post) error
	// Find returns what the medium calls the post with that key, when it was sent after since.
	Find(ctx context.Context, p Post, since time.Time) (id string, found bool, err error)
}

// Error is what a medium answers when it does not do what it is told. It never holds an address that is a secret.
type Error struct {
	Text  string
	After time.Duration // leave it alone for so long; 0: it does not say
	Gone  bool          // what was to be edited is not there any more
}

func (e *Error) Error() string { return e.Text }

const (
	maxLine  = 300 // characters of one text from outside
	maxNeeds = 10  // that are listed
)

// title is the message's first line.
func (m Message) title() string { return symbol(m.State) + " " + line(m.Headline, maxLine) }

// symbol shows a state to those who only glance.
func symbol(state string) string {
	switch state {
	case "done":
		return "✓"
	case "failed", "halted":
		return "✗"
	case "cancelled":
		return "–"
	case "paused":
		return "‖"
	}
	return "◐"
}

// state says how the rollout is: "running · started 02:04 UTC by automation".
func (m Message) state() string {
	parts := []string{"rollout " + line(m.Rollout, maxLine), line(m.State, maxLine)}
	if m.Started != "" {
		parts = append(parts, line(m.Started, maxLine))
	}
	return strings.Join(parts, " · ")
}

// progress are the tiers on one line: "bases, tier 1: ✓ 6 of 6 · applications told: 325 of 366".
func (m Message) progress() string {
	var parts []string
	for _, p := range m.Progress {
		s := fmt.Sprintf("%s: %d of %d", line(p.Name, maxLine), p.Ended, p.Total)
		if p.Ended == p.Total && p.Bad == 0 {
			s = fmt.Sprintf("%s: ✓ %d of %d", line(p.Name, maxLine), p.Ended, p.Total)
		}
		if p.Bad > 0 {
			s += fmt.Sprintf(" (%d not as it should be)", p.Bad)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " · ")
}

// facts are the lines below the title that are no list.
func (m Message) facts() []string {
	all := []string{m.state()}
	if m.Reason != "" {
		all = append(all, line(m.Reason, maxLine))
	}
	if p := m.progress(); p != "" {
		all = append(all, p)
	}
	for _, a := range slices.Concat(m.Waits, m.Ahead) {
		all = append(all, line(a, maxLine))
	}
	return all
}

// sentence says a need: what, how it is and why, and who can act.
func (n Need) sentence() string {
	s := line(n.What, maxLine) + ": " + line(n.State, maxLine)
	if n.Why != "" {
		s += ": " + line(n.Why, maxLine)
	}
	if n.Who != "" {
		s += " (" + line(n.Who, maxLine) + ")"
	}
	return s
}

// item is a line of a list, with where to look.
type item struct{ text, url string }

// list is a headed list of items.
type list struct {
	head  string
	items []item
}

// lists are those of a message: what needs a person, and what waits.
func (m Message) lists() []list {
	var out []list
	if l := needs(m.Needs, 0); len(l.items) > 0 {
		out = append(out, l)
	}
	if len(m.Links) > 0 {
		l := list{head: "Open pull requests"}
		for _, k := range m.Links {
			l.items = append(l.items, item{line(k.Text, maxLine), web(k.URL)})
		}
		out = append(out, more(l, m.More))
	}
	return out
}

func needs(all []Need, hidden int) list {
	l := list{head: "Needs a person"}
	for i, n := range all {
		if i == maxNeeds {
			hidden += len(all) - i
			break
		}
		l.items = append(l.items, item{n.sentence(), web(n.URL)})
	}
	return more(l, hidden)
}

func more(l list, n int) list {
	if n > 0 {
		l.items = append(l.items, item{text: fmt.Sprintf("and %d more", n)})
	}
	return l
}

// foot is where to look further: a command, and a link where the daemon's address is known.
func (m Message) foot() (out []item) {
	if m.Ask != "" {
		out = append(out, item{text: line(m.Ask, maxLine)})
	}
	if u := web(m.Page); u != "" {
		out = append(out, item{"Open the status page", u})
	}
	return out
}

// body is what every medium says of a post.
type body struct {
	title string
	facts []string
	lists []list
	foot  []item
}

func (p Post) body() body {
	if p.Note == nil {
		return body{p.Message.title(), p.Message.facts(), p.Message.lists(), p.Message.foot()}
	}
	b := body{title: line(p.Note.Headline, maxLine)}
	if p.Thread == "" { // it stands alone: say of what it is
		b.facts, b.foot = []string{line(p.Message.Headline, maxLine), p.Message.state()}, p.Message.foot()
	}
	if l := needs(p.Note.Needs, p.Note.More); len(l.items) > 0 {
		b.lists = []list{l}
	}
	return b
}

// Text is a post as plain text, all of it.
func (p Post) Text() string {
	b := p.body()
	out := append([]string{b.title}, b.facts...)
	for _, l := range b.lists {
		out = append(out, "", l.head+":")
		for _, i := range l.items {
			s := "- " + i.text
			if i.url != "" {
				s += "\n  " + i.url
			}
			out = append(out, s)
		}
	}
	if len(b.foot) > 0 {
		out = append(out, "")
	}
	for _, i := range b.foot {
		out = append(out, strings.TrimSuffix(i.text+": "+i.url, ": "))
	}
	return strings.Join(out, "\n") + "\n"
}

// web is an address if it is one of the web, without anything that could end it; empty otherwise.
func web(s string) string {
	if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") || len(s) > 2000 {
		return ""
	}
	for _, c := range s {
		if c <= ' ' || c > '~' || strings.ContainsRune("<>\"'`|\\^{}()[]", c) {
			return ""
		}
	}
	return s
}

// line is s as one line of at most n characters that can be seen: white space is one blank, what is no text or cannot be
// seen (control characters, direction overrides) is gone.
func line(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return -1
		}
		return c
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
