package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newWatch(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch ROLLOUT",
		Short: "Follow a rollout until it ends: a line for each thing that happens",
		Long: `Follow a rollout until it ends: a line for each image that moves, and one for where the fix is now. The exit status says how it
ended: 0 when it is done, 1 when it failed, was cancelled, or halted and waits for a person.`,
		Args:              wants(1, 1, "a rollout's id", "see what runs: rebuilder status", "list rollouts: rebuilder rollouts"),
		ValidArgsFunction: c.completeRollouts,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w := &watching{c: c, cmd: cmd, id: args[0], said: map[string]string{}}
		return w.run(cmd.Context())
	}
	return cmd
}

// watching follows one rollout. What was said once is not said again, also after the daemon was away.
type watching struct {
	c      *cli
	cmd    *cobra.Command
	id     string
	said   map[string]string // by image: state and sentence
	stages string
	last   api.Rollout
}

// errOver ends the watch.
var errOver = errors.New("the rollout is over")

const atSecond = "2006-01-02 15:04:05Z"

const (
	returns = 30              // times that the connection may break without anything between
	breath  = 2 * time.Second // until it is tried again
)

func (w *watching) run(ctx context.Context) error {
	if err := w.look(ctx); err != nil { // a name that is wrong is said at once
		return w.over(err)
	}
	broken := 0
	for {
		err := w.c.client().Events(ctx, func(api.Changed) error {
			broken = 0
			return w.look(ctx)
		})
		var away *api.Unreachable
		if !errors.As(err, &away) {
			return w.over(err)
		}
		if broken++; broken == 1 {
			fmt.Fprintf(w.cmd.ErrOrStderr(), "%v; trying again\n", err)
		}
		if broken > returns {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(breath):
		}
	}
}

// look asks for the rollout and says what is new. It returns errOver when there is nothing more to wait for.
func (w *watching) look(ctx context.Context) error {
	r, err := w.c.client().Rollout(ctx, w.id)
	if err != nil {
		return err
	}
	clean(&r)
	p := w.c.printer(w.cmd, r.Now)
	if w.last.ID == "" {
		p.line("%s  %s", r.ID, r.Title)
	}
	w.last = r.Rollout
	slices.SortStableFunc(r.Nodes, func(a, b api.Node) int { return a.Since.Compare(b.Since) })
	for _, n := range r.Nodes {
		now := n.State + " " + n.Sentence
		if w.said[n.Image] == now {
			continue
		}
		w.said[n.Image] = now
		p.line("%s  %s  %s: %s%s", n.Since.UTC().Format(atSecond), p.state(n.State), n.Image, n.Sentence, said(" ", n.URL))
	}
	if s := counted(r.Stages); s != w.stages {
		w.stages = s
		p.line("%s  %s", r.Now.UTC().Format(atSecond), p.stages(r.Stages))
	}
	if !r.EndedAt.IsZero() || r.State == "halted" {
		return errOver
	}
	return nil
}

// counted are the stages without their ages, which change by themselves.
func counted(all []api.Stage) (s string) {
	for _, st := range all {
		s += fmt.Sprintf("%s %d/%d ", st.Name, st.Done, st.Of)
	}
	return s
}

// over says how it ended.
func (w *watching) over(err error) error {
	if !errors.Is(err, errOver) {
		return err
	}
	p := w.c.printer(w.cmd, w.last.EndedAt)
	r := w.last
	p.line("%s  %s, %s%s%s", r.ID, p.state(r.State), outcomes(r), said("; took ", p.whole(r)), said("; ", r.Reason))
	if r.State == "done" {
		return nil
	}
	return &exit{exitError, nil}
}
