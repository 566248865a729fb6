package demo

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Update is the present state of one image, or of anything else that a line is about.
type Update struct {
	Image   string
	State   string // "building", "done", "failed"
	Detail  string // one line; may be empty
	Started time.Time
	Ended   time.Time // zero while it goes on
	Failed  bool
	Log     []string // the last lines of its log, shown when it failed
}

// Progress shows updates: on a terminal one line an image, kept up to date in place; elsewhere one line for each change. Its
// methods may be called from several goroutines.
type Progress struct {
	w     io.Writer
	live  bool
	width func() int
	now   func() time.Time
	stop  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex
	order  []string // images, as they came
	latest map[string]Update
	clock  clock
	drawn  int // lines on the screen that will be drawn over
	closed bool
}

// clock is a line below the images that says how long something has been going on.
type clock struct {
	words string
	since time.Time
}

// ProgressConfig says how to show. Its zero value shows plain lines.
type ProgressConfig struct {
	Live  bool             // draw in place
	Width func() int       // columns of the terminal; nil takes 80
	Now   func() time.Time // nil takes time.Now
	Every time.Duration    // how often running times are drawn anew; 0 never
}

// NewProgress shows updates on w.
func NewProgress(w io.Writer, c ProgressConfig) *Progress {
	p := &Progress{w: w, live: c.Live, width: c.Width, now: c.Now, latest: map[string]Update{}, stop: make(chan struct{})}
	if p.width == nil {
		p.width = func() int { return 80 }
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.live && c.Every > 0 {
		p.ended.Go(func() { p.tick(c.Every) })
	}
	return p
}

// TerminalProgress shows updates on f: in place when f is a terminal that can, plain otherwise.
func TerminalProgress(f *os.File) *Progress {
	live := term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	return NewProgress(f, ProgressConfig{Live: live, Every: 250 * time.Millisecond, Width: func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80
		}
		return width
	}})
}

// Update shows the state of one image. One that is shown already changes nothing.
func (p *Progress) Update(u Update) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, known := p.latest[u.Image]
	if p.closed || known && old.State == u.State && old.Detail == u.Detail && old.Failed == u.Failed && old.Ended.Equal(u.Ended) {
		return
	}
	if !known {
		p.order = append(p.order, u.Image)
	}
	p.latest[u.Image] = u
	failed := u.Failed && !old.Failed
	if !p.live {
		p.print(p.line(u) + "\n")
		if failed {
			p.print(tail(u.Log))
		}
		return
	}
	above := ""
	if failed {
		above = u.Image + " failed:\n" + tail(u.Log)
	}
	p.draw(above)
}

// Say prints a line above the images; on a terminal it is broken between words.
func (p *Progress) Say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.live:
		p.print(line + "\n")
	case p.closed:
		p.print(fold(line, p.width()) + "\n")
	default:
		p.draw(fold(line, p.width()) + "\n")
	}
}

// Clock shows below the images, in place only, how long it is since a time: "12.3 s since publication".
func (p *Progress) Clock(words string, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = clock{words, since}
}

// Clear forgets the images and the clock; the images' last lines stay where they are.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && !p.closed {
		p.clock = clock{}
		p.draw("")
	}
	p.order, p.latest, p.drawn = nil, map[string]Update{}, 0
}

// Close draws for the last time. It is safe to call twice.
func (p *Progress) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	if p.live {
		p.clock = clock{}
		p.draw("")
	}
	p.closed = true
	close(p.stop)
	p.mu.Unlock()
	p.ended.Wait()
}

func (p *Progress) tick(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			if !p.closed {
				p.draw("")
			}
			p.mu.Unlock()
		}
	}
}

// draw goes up to the first image's line, prints what stays above, and draws all images anew, in one write.
func (p *Progress) draw(above string) {
	var b strings.Builder
	if p.drawn > 0 || above != "" {
		b.WriteByte('\r') // the terminal may have written "^C" where the cursor was
	}
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	if p.drawn > 0 || above != "" {
		b.WriteString("\x1b[0J")
	}
	b.WriteString(above)
	for _, image := range p.order {
		b.WriteString(cut(p.line(p.latest[image]), p.width()-1) + "\n")
	}
	p.drawn = len(p.order)
	if p.clock.words != "" {
		b.WriteString(cut(fmt.Sprintf("%s %s", took(p.now().Sub(p.clock.since).Seconds()), p.clock.words), p.width()-1) + "\n")
		p.drawn++
	}
	p.print(b.String())
}

// print ignores errors: a terminal that went away is no reason to stop.
func (p *Progress) print(s string) { _, _ = io.WriteString(p.w, s) }

func (p *Progress) line(u Update) string {
	elapsed := ""
	if !u.Started.IsZero() {
		end := u.Ended
		if end.IsZero() {
			end = p.now()
		}
		elapsed = took(end.Sub(u.Started).Seconds())
	}
	if !p.live && u.Ended.IsZero() {
		elapsed = "" // a line that stays says nothing of a time that goes on
	}
	return strings.TrimRight(fmt.Sprintf("%-20s %-11s %8s  %s", u.Image, u.State, elapsed, oneLine(u.Detail)), " ")
}

// took is a time that went by, as all of the demo's output says it.
func took(seconds float64) string { return fmt.Sprintf("%.1f s", max(0, seconds)) }

// shownLog is how many lines of a log are shown.
const shownLog = 15

func tail(log []string) string {
	var b strings.Builder
	for _, line := range log[max(0, len(log)-shownLog):] {
		b.WriteString("  | " + oneLine(line) + "\n")
	}
	return b.String()
}

// oneLine takes out what would move the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// fold breaks a line between words so that it fits; what goes on is indented. A longer word stays whole: it may be an
// address to be copied.
func fold(s string, columns int) string {
	words := strings.Fields(s)
	if len([]rune(s)) < columns || len(words) == 0 {
		return s
	}
	out, used := words[0], len([]rune(words[0]))
	for _, word := range words[1:] {
		n := len([]rune(word))
		if used+1+n < columns {
			out, used = out+" "+word, used+1+n
		} else {
			out, used = out+"\n  "+word, 2+n
		}
	}
	return out
}

// cut shortens to a number of columns.
func cut(s string, columns int) string {
	columns = cmp.Or(max(columns, 0), 79)
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	return string(r[:columns-1]) + "…"
}
