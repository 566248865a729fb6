package announce

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/graph"
	"rebuilder/internal/notify/chat"
	"rebuilder/internal/store"
)

// style is how a chat is told.
type style int

const (
	live style = iota // one message, edited; details in its thread
	few               // a message at the start, when it needs a person, at the end
	mail              // when it needs a person, and at the end
)

// Parts of what is said. The two that are counted have a number behind them.
const (
	partRollout = "rollout" // the one that is edited
	partStart   = "start"
	partTier    = "tier "
	partNeeds   = "needs "
	partEnd     = "end"
	partClosed  = "closed" // nothing is said any more
)

const (
	editEvery  = 10 * time.Second // at most
	needsLive  = time.Minute      // between two messages that something needs a person, so that many troubles are one message
	needsOther = 10 * time.Minute
)

// draft is one thing to say, or to say anew in the place of what was said.
type draft struct {
	message store.Message // as it is in the store, or is to be
	post    chat.Post
	edit    bool
	moot    bool // there is nothing to say of it any more
}

// due is what is to be said of a rollout now, in order; done is true when nothing will be left to say after that.
func due(f Facts, s style, said []store.Message) (out []draft, done bool) {
	d := drafts{f: f, m: Of(f), style: s, all: said, said: map[string]store.Message{}, now: f.Now.UnixMilli()}
	for _, m := range said {
		d.said[m.Part] = m
	}
	ended := f.Rollout.State.Ended()
	if quiet(f) && len(said) == 0 {
		return nil, ended
	}
	switch s {
	case live:
		d.live()
	case few:
		d.once(partStart, nil)
		d.needs(needsOther)
	case mail:
		d.needs(needsOther)
	}
	if ended {
		d.end()
	}
	return d.out, ended && !d.later
}

type drafts struct {
	f     Facts
	m     chat.Message
	style style
	all   []store.Message
	said  map[string]store.Message
	now   int64
	out   []draft
	later bool // something waits for its time
}

// live is the one message, and the details in its thread.
func (d *drafts) live() {
	main, there := d.said[partRollout]
	switch hash := d.hash(); {
	case !there || main.State == store.MessageOpen:
		d.once(partRollout, nil)
		if !there {
			d.later = true // the thread needs its name
			return
		}
	case main.State == store.MessageSent && main.Hash != hash:
		if d.now-main.SentAt < editEvery.Milliseconds() {
			d.later = true
			break
		}
		main.Hash = hash
		d.out = append(d.out, draft{message: main, post: d.post(partRollout, nil), edit: true})
	}
	if main.State == store.MessageOpen {
		d.later = true
		return
	}
	if main.State == store.MessageSent {
		d.tiers()
	}
	d.needs(needsLive)
}

// tiers says of each tier of bases that it is finished, once.
func (d *drafts) tiers() {
	tiers := 0
	for _, n := range d.f.Nodes {
		if n.Kind != string(graph.Application) {
			tiers = max(tiers, n.Tier+1)
		}
	}
	for t := range tiers {
		for _, p := range d.m.Progress {
			if p.Name == tierName(t) && p.Ended == p.Total {
				s := fmt.Sprintf("Tier %d of %d is finished: %d of %d bases as they should be", t+1, tiers, p.Total-p.Bad, p.Total)
				d.once(fmt.Sprint(partTier, t), &chat.Note{Headline: s})
			}
		}
	}
}

// needs says what needs a person and was not said to need one: at once, and then not too often.
func (d *drafts) needs(every time.Duration) {
	told, last, n := map[string]bool{}, int64(0), 0
	for _, m := range d.all {
		if !strings.HasPrefix(m.Part, partNeeds) {
			continue
		}
		n, last = n+1, max(last, m.CreatedAt)
		for _, id := range m.About {
			told[id] = true
		}
		if m.State == store.MessageOpen {
			d.say(m, d.note(m.About))
		}
	}
	var fresh []string
	for _, need := range d.m.Needs {
		if !told[need.ID] {
			fresh = append(fresh, need.ID)
		}
	}
	if len(fresh) == 0 {
		return
	}
	if last > 0 && d.now-last < every.Milliseconds() && !d.f.Rollout.State.Ended() {
		d.later = true
		return
	}
	d.say(d.fresh(fmt.Sprint(partNeeds, n+1), fresh), d.note(fresh))
}

// note says which of the needs with these ids are still there.
func (d *drafts) note(ids []string) *chat.Note {
	n := &chat.Note{}
	for _, need := range d.m.Needs {
		if slices.Contains(ids, need.ID) {
			n.Needs = append(n.Needs, need)
		}
	}
	if len(n.Needs) == 1 {
		n.Headline = n.Needs[0].What + " needs a person"
	} else {
		n.Headline = count(len(n.Needs), "thing") + " need a person"
	}
	return n
}

// end is the last word: in a thread a line, elsewhere all of it.
func (d *drafts) end() {
	if d.style != live {
		d.once(partEnd, nil)
		return
	}
	if main := d.said[partRollout]; main.State == store.MessageSent || main.State == store.MessageLost {
		s := "The rollout is done"
		if d.f.Rollout.State != store.Finished {
			s = "The rollout ended as " + string(d.f.Rollout.State)
		}
		if a := d.m.Ahead; len(a) > 0 {
			s += ": " + a[0]
		}
		d.once(partEnd, &chat.Note{Headline: s})
	}
}

// once says a part that was not said yet.
func (d *drafts) once(part string, n *chat.Note) {
	m, there := d.said[part]
	switch {
	case !there:
		d.say(d.fresh(part, nil), n)
	case m.State == store.MessageOpen:
		d.say(m, n)
	}
}

func (d *drafts) fresh(part string, about []string) store.Message {
	return store.Message{Rollout: d.f.Rollout.ID, Part: part, State: store.MessageOpen, About: about, CreatedAt: d.now}
}

func (d *drafts) say(m store.Message, n *chat.Note) {
	if m.Part == partRollout {
		m.Hash = d.hash()
	}
	moot := n != nil && strings.HasPrefix(m.Part, partNeeds) && len(n.Needs) == 0
	d.out = append(d.out, draft{message: m, post: d.post(m.Part, n), moot: moot})
}

func (d *drafts) post(part string, n *chat.Note) chat.Post {
	p := chat.Post{Key: d.f.Rollout.ID + "/" + part, Rollout: d.f.Rollout.ID, Title: d.title(n), Message: &d.m, Note: n}
	if main := d.said[partRollout]; d.style == live && part != partRollout && main.State == store.MessageSent {
		p.Thread = main.Remote
		p.Announce = n != nil && len(n.Needs) > 0 || part == partEnd && d.f.Rollout.State != store.Finished
	}
	return p
}

func (d *drafts) title(n *chat.Note) string {
	if n != nil && len(n.Needs) > 0 {
		return n.Headline + ": " + d.m.Headline
	}
	return string(d.f.Rollout.State) + ": " + d.m.Headline
}

// hash is of what people would see change: an estimate that moves by a minute is none of it.
func (d *drafts) hash() string {
	m := d.m
	if !d.f.Rollout.State.Ended() {
		m.Ahead = nil
	}
	b, err := json.Marshal(m)
	if err != nil { // it is text and numbers
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
