package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// Verb is what a person can ask of a rollout.
type Verb string

const (
	Pause    Verb = "pause"    // nothing new is begun; what is at work goes on to its end
	Continue Verb = "resume"   // ends a pause, a halt and a stop
	Retry    Verb = "retry"    // what failed is tried again, without its back-off
	Stop     Verb = "stop"     // nothing beyond a tier is begun
	Hurry    Verb = "critical" // it waits for no wave, soak and freeze any more
)

// Verbs are all of them.
func Verbs() []Verb { return []Verb{Pause, Continue, Retry, Stop, Hurry} }

// Order is what a person asks of a rollout, and why.
type Order struct {
	Verb   Verb
	By     string
	Reason string
	Tier   int      // of Stop: the last that is begun, counted from 1
	Images []string // of Retry; none: all that failed
}

// Obeyed is what came of an order.
type Obeyed struct {
	Rollout store.Rollout
	// Changed false: it was so already, and nothing was written.
	Changed bool
	// AtWork are the images that go on to their end all the same.
	AtWork []string
	// Again are those that are tried again.
	Again []string
}

// ErrRefused is returned for an order that makes no sense of this rollout; its text says why.
var ErrRefused = errors.New("not possible")

func notPossible(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Desk takes orders. It needs no workflow: what an order means for those that run, they find in the store.
type Desk struct {
	Store   *store.Store
	Catalog func() *catalog.Catalog
	Now     func() time.Time
}

// Control is what Desk's is, and lets at once go what may go then.
func (r *Runner) Control(ctx context.Context, id string, o Order) (Obeyed, error) {
	out, err := Desk{r.store, r.catalog, r.cfg.Now}.Control(ctx, id, o)
	if err == nil && out.Changed {
		r.cfg.Changed()
		err = r.Resume(ctx)
	}
	return out, err
}

// Control does what a person asks of a rollout, also while its steps run: what is at work goes on to its end, and nothing that
// an order forbids is begun after it. The same order twice is one. It is written down who asked for what and why, in the
// transaction that makes the change.
func (d Desk) Control(ctx context.Context, id string, o Order) (out Obeyed, err error) {
	err = d.Store.Tx(ctx, func(ctx context.Context, q store.Querier) error {
		out = Obeyed{}
		ro, err := store.LockRollout(ctx, q, id)
		if err != nil {
			return err
		}
		nodes, err := store.Nodes(ctx, q, id)
		if err != nil {
			return err
		}
		out.Rollout = ro
		for _, n := range nodes {
			if !n.State.Ended() && n.State != store.Waiting && (n.State != store.Telling || n.Detail.Key == "") {
				out.AtWork = append(out.AtWork, n.Image)
			}
		}
		if o.Verb == Retry {
			return d.retry(ctx, q, nodes, o, &out)
		}
		if ro.State.Ended() {
			return notPossible("rollout %s has ended as %s", id, ro.State)
		}
		return d.steer(ctx, q, o, &out)
	})
	return out, err
}

// steer changes the rollout as a whole.
func (d Desk) steer(ctx context.Context, q store.Querier, o Order, out *Obeyed) error {
	ro := out.Rollout
	why := "by " + o.By + said(": ", o.Reason)
	s := store.Steering{Rollout: ro.ID, To: ro.State, Reason: ro.Reason, At: d.Now().UnixMilli(), Actor: o.By, Kind: store.Human, Rule: "manual", Action: string(o.Verb), Detail: o.Reason}
	switch o.Verb {
	case Pause:
		if ro.State == store.Paused {
			return nil
		}
		if ro.State == store.Halted {
			return notPossible("rollout %s is halted already: %s", ro.ID, ro.Reason)
		}
		s.To, s.Reason = store.Paused, why
	case Continue:
		if ro.State == store.Running && ro.Pace.StopAt == 0 {
			return nil
		}
		if ro.State == store.Halted && o.Reason == "" {
			return notPossible("rollout %s is halted: %s; say why it goes on all the same, with a reason", ro.ID, ro.Reason)
		}
		failures, err := d.failures(ctx, q, ro.ID)
		if err != nil {
			return err
		}
		s.To, s.Reason = store.Running, ""
		s.Pace = func(p *store.RolloutPace) {
			p.StopAt, p.StopWhy = 0, ""
			if ro.State == store.Halted {
				p.Forgiven = failures
			}
		}
	case Stop:
		if o.Tier < 1 {
			return notPossible("tier %d: they are counted from 1", o.Tier)
		}
		if ro.Pace.StopAt == o.Tier {
			return nil
		}
		s.Pace = func(p *store.RolloutPace) { p.StopAt, p.StopWhy = o.Tier, why }
		s.Detail = fmt.Sprintf("at tier %d%s", o.Tier, said(": ", o.Reason))
	case Hurry:
		if ro.Pace.Critical != "" {
			return nil
		}
		if o.Reason == "" {
			return notPossible("say why rollout %s is critical, with a reason", ro.ID)
		}
		s.Pace = func(p *store.RolloutPace) { p.Critical = "marked " + why }
	default:
		return notPossible("%q is nothing that can be asked of a rollout", o.Verb)
	}
	var err error
	out.Rollout, err = store.Steer(ctx, q, s)
	out.Changed = err == nil
	return err
}

// failures counts those who were told in a rollout and failed, as the failure budget does.
func (d Desk) failures(ctx context.Context, q store.Querier, id string) (int, error) {
	s, err := standOf(ctx, q, d.Catalog(), d.Now())
	for _, ro := range s.fleet.Rollouts {
		if ro.ID == id {
			return ro.Failures(), err
		}
	}
	return 0, err
}

// retry gives what failed another turn. An application of a rollout that runs gets it there; a base, whose children have gone
// their ways, and what is left of an ended rollout are planned again with the next look.
func (d Desk) retry(ctx context.Context, q store.Querier, nodes []store.Node, o Order, out *Obeyed) error {
	for _, image := range o.Images {
		i := slices.IndexFunc(nodes, func(n store.Node) bool { return n.Image == image })
		if i < 0 {
			return notPossible("%s is not in rollout %s", image, out.Rollout.ID)
		}
		if !failedNode(nodes[i]) && nodes[i].State != store.Waiting {
			return notPossible("%s is %s: only what failed can be tried again", image, nodes[i].State)
		}
	}
	for _, n := range nodes {
		if !failedNode(n) || len(o.Images) > 0 && !slices.Contains(o.Images, n.Image) {
			continue
		}
		again, err := d.retryNode(ctx, q, n, o, out.Rollout.State.Ended())
		if err != nil {
			return err
		}
		if again {
			out.Again = append(out.Again, n.Image)
		}
	}
	if out.Changed = len(out.Again) > 0; !out.Changed || out.Rollout.State.Ended() {
		return nil
	}
	var err error
	out.Rollout, err = store.Steer(ctx, q, store.Steering{Rollout: out.Rollout.ID, To: out.Rollout.State, Reason: out.Rollout.Reason, At: d.Now().UnixMilli(),
		Pace:  func(p *store.RolloutPace) { p.Forgiven = max(0, p.Forgiven-len(out.Again)) },
		Actor: o.By, Kind: store.Human, Rule: "manual", Action: string(Retry), Detail: strings.Join(out.Again, ", ") + said(": ", o.Reason)})
	return err
}

// retryNode gives one image another turn; again is false when nothing keeps it from one anyway.
func (d Desk) retryNode(ctx context.Context, q store.Querier, n store.Node, o Order, ended bool) (again bool, err error) {
	app := applicationsOf(d.Catalog()).of(n.Image) // that it could not be told is kept by the application
	for _, of := range slices.Compact([]string{n.Image, app}) {
		forgot, err := store.ForgetBackoff(ctx, q, of)
		if err != nil {
			return false, err
		}
		again = again || forgot
	}
	now := d.Now().UnixMilli()
	if ended || n.Kind != string(graph.Application) {
		if !again {
			return false, nil
		}
		return true, store.Audit(ctx, q, store.Event{At: now, Actor: o.By, Kind: store.Human, Rule: "manual", Action: string(Retry), Object: n.Image, Detail: n.Rollout + said(": ", o.Reason)})
	}
	m := store.Move{Rollout: n.Rollout, Image: n.Image, To: store.Waiting, Reason: "tried again, by " + o.By + said(": ", o.Reason), At: now, Rule: "manual", Actor: o.By}
	if _, err := store.MoveNode(ctx, q, m); err != nil {
		return false, err
	}
	if _, err := store.NextAttempt(ctx, q, n.Rollout, n.Image); err != nil {
		return false, err
	}
	return true, store.Untell(ctx, q, n.Rollout, app)
}

func failedNode(n store.Node) bool {
	return n.State == store.Failed || n.State == store.Blocked || n.State == store.NotTaken
}
