package forge

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// deliveries sends webhooks one after the other, in the order things happened, without holding anybody up.
type deliveries struct {
	url, secret string
	log         *slog.Logger

	mu      sync.Mutex
	queue   []delivery
	held    *delivery // overtaken by the next one
	random  *rand.Rand
	rate    float64
	running bool
	done    sync.WaitGroup
}

type delivery struct {
	event, id string
	body      []byte
}

// add queues a delivery. The goroutine that sends lives only as long as there is something to send.
func (d *deliveries) add(one delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, d.astray(one)...)
	if !d.running && len(d.queue) > 0 {
		d.running = true
		d.done.Go(d.drain)
	}
}

// astray returns what is sent in the place of a delivery: itself, or as the faults have it nothing, itself twice, or the
// next one first.
func (d *deliveries) astray(one delivery) []delivery {
	if d.held != nil {
		late := *d.held
		d.held = nil
		return []delivery{one, late}
	}
	if d.rate == 0 || d.random.Float64() >= d.rate {
		return []delivery{one}
	}
	switch d.random.IntN(3) {
	case 0:
		return nil
	case 1:
		return []delivery{one, one}
	}
	d.held = &one
	return nil
}

func (d *deliveries) wait() { d.done.Wait() }

func (d *deliveries) drain() {
	for {
		d.mu.Lock()
		if len(d.queue) == 0 {
			d.running = false
			d.mu.Unlock()
			return
		}
		one := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		if err := d.send(one); err != nil { // GitHub does not send again by itself either
			d.log.Warn("webhook not delivered", "event", one.event, "error", err)
		}
	}
}

func (d *deliveries) send(one delivery) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // GitHub's limit
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(one.body))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(d.secret))
	mac.Write(one.body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "GitHub-Hookshot/forge")
	req.Header.Set("X-GitHub-Event", one.event)
	req.Header.Set("X-GitHub-Delivery", one.id)
	if d.secret != "" {
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode >= 300 {
		return fmt.Errorf("receiver answered %s", resp.Status)
	}
	return nil
}

// hook sends an event, if anybody listens. The caller holds mu; the document is made at once.
func (f *Forge) hook(r *repository, event string, document func() any) {
	if f.cfg.WebhookURL == "" {
		return
	}
	body, err := json.Marshal(document())
	if err != nil {
		f.log.Error("webhook", "repository", r.Owner+"/"+r.Name, "event", event, "error", err)
		return
	}
	f.hooks.add(delivery{event: event, id: uuid.NewString(), body: body})
}

type changeJSON struct {
	From string `json:"from"`
}

type pullEventJSON struct {
	Action       string                `json:"action"`
	Number       int                   `json:"number"`
	PullRequest  fullPullJSON          `json:"pull_request"`
	Before       string                `json:"before,omitempty"`
	After        string                `json:"after,omitempty"`
	Changes      map[string]changeJSON `json:"changes,omitempty"`
	Label        *labelJSON            `json:"label,omitempty"`
	Repository   object                `json:"repository"`
	Organization object                `json:"organization"`
	Sender       *userJSON             `json:"sender"`
}

func (f *Forge) pullEvent(ctx context.Context, r *repository, p *pull, action, who string) pullEventJSON {
	return pullEventJSON{
		Action: action, Number: p.Number, PullRequest: f.fullPull(ctx, r, p), Repository: f.repository(r),
		Organization: f.organization(r.Owner), Sender: f.user(who),
	}
}

type identityJSON struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

type pushedJSON struct {
	ID        string       `json:"id"`
	TreeID    string       `json:"tree_id"`
	Distinct  bool         `json:"distinct"`
	Message   string       `json:"message"`
	Timestamp string       `json:"timestamp"`
	URL       string       `json:"url"`
	Author    identityJSON `json:"author"`
	Committer identityJSON `json:"committer"`
	Added     []string     `json:"added"`
	Removed   []string     `json:"removed"`
	Modified  []string     `json:"modified"`
}

type pushEventJSON struct {
	Ref          string       `json:"ref"`
	Before       string       `json:"before"`
	After        string       `json:"after"`
	BaseRef      *string      `json:"base_ref"`
	Compare      string       `json:"compare"`
	Created      bool         `json:"created"`
	Deleted      bool         `json:"deleted"`
	Forced       bool         `json:"forced"`
	HeadCommit   *pushedJSON  `json:"head_commit"`
	Commits      []pushedJSON `json:"commits"`
	Pusher       identityJSON `json:"pusher"`
	Repository   object       `json:"repository"`
	Organization object       `json:"organization"`
	Sender       *userJSON    `json:"sender"`
}

func (f *Forge) pushEvent(ctx context.Context, r *repository, m move) pushEventJSON {
	e := pushEventJSON{
		Ref: m.ref, Before: m.from, After: m.to, Created: m.from == "", Deleted: m.to == "",
		Commits: []pushedJSON{}, Pusher: identityJSON{Name: m.who, Email: f.identity(m.who).Email},
		Repository: f.repository(r), Organization: f.organization(r.Owner), Sender: f.user(m.who),
	}
	e.Forced = !e.Created && !e.Deleted && !f.git(r).isAncestor(ctx, m.from, m.to)
	if e.Created {
		e.Before = noCommit
	}
	if e.Deleted {
		e.After = noCommit
	}
	e.Compare = f.repoWeb(r, "/compare/%.12s...%.12s", e.Before, e.After)
	if tip, err := f.git(r).commit(ctx, m.to); m.to != "" && err == nil {
		head := f.pushed(ctx, r, tip)
		e.HeadCommit, e.Commits = &head, append(e.Commits, head)
	}
	return e
}

func (f *Forge) pushed(ctx context.Context, r *repository, c commit) pushedJSON {
	j := pushedJSON{
		ID: c.SHA, TreeID: c.Tree, Distinct: true, Message: c.Message, Timestamp: stamp(c.Committer.Date),
		URL:    f.repoWeb(r, "/commit/%s", c.SHA),
		Author: identityJSON{c.Author.Name, c.Author.Email}, Committer: identityJSON{c.Committer.Name, c.Committer.Email},
		Added: []string{}, Removed: []string{}, Modified: []string{},
	}
	parent := emptyTree
	if len(c.Parents) > 0 {
		parent = c.Parents[0]
	}
	for _, file := range f.files(ctx, r, parent, c.SHA) {
		switch file.Status {
		case "added":
			j.Added = append(j.Added, file.Filename)
		case "removed":
			j.Removed = append(j.Removed, file.Filename)
		default:
			j.Modified = append(j.Modified, file.Filename)
		}
	}
	return j
}
