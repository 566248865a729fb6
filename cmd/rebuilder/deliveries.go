package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newDeliveries(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "What people and programs were told: chats, subscribers, events on their way",
		Long: `Chats and subscribers of the catalog, how they do, and the events that subscribers were sent. An event that a subscriber
does not take is tried again for a day, less and less often; then it is parked until somebody has it sent again.`,
		SuggestionsMinimumDistance: 2,
		Args:                       func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) },
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeliveriesList(c), newDeliveriesRetry(c))
	return cmd
}

const maxDeliveries = 1000 // that the daemon lists

func newDeliveriesList(c *cli) *cobra.Command {
	f := api.DeliveryFilter{Limit: 20}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List chats and subscribers, and the newest events with their last try",
		Example: "  rebuilder deliveries list --state parked",
		Args:    wants(0, 0, ""),
	}
	cmd.Flags().StringVar(&f.Subscriber, "subscriber", "", "only the events of this one")
	cmd.Flags().StringVar(&f.State, "state", "", "only those that are pending, delivered or parked")
	cmd.Flags().StringVar(&f.Event, "event", "", "only this one, with every try")
	cmd.Flags().IntVar(&f.Limit, "limit", f.Limit, "how many events to list, the newest first")
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.Limit < 1 || f.Limit > maxDeliveries {
			return usage(cmd, fmt.Errorf("--limit %d: want a number from 1 to %d", f.Limit, maxDeliveries))
		}
		d, err := c.client().Deliveries(cmd.Context(), f)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, d)
		}
		clean(&d)
		c.printer(cmd, d.Now).deliveries(d)
		return nil
	}
	return cmd
}

func newDeliveriesRetry(c *cli) *cobra.Command {
	var q api.Redeliver
	cmd := &cobra.Command{
		Use:   "retry SUBSCRIBER",
		Short: "Send again, now, what is parked or waits for its next try",
		Long: `Have a subscriber's events sent again: all that are parked, and all that wait for their next try, or only one. They have
the ids that they had, by which the subscriber knows what it has already.`,
		Example: "  rebuilder deliveries retry inventory",
		Args:    wants(1, 1, "the name of a subscriber", "list them: rebuilder deliveries list"),
	}
	cmd.Flags().StringVar(&q.Event, "event", "", "only this one")
	c.by(cmd, &q.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Subscriber = args[0]
		r, err := c.client().Redeliver(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, r)
		}
		clean(&r)
		p := c.printer(cmd, time.Time{})
		if r.Events == 0 {
			p.line("Nothing waits for %s: nothing is sent again.", r.Subscriber)
			return nil
		}
		p.line("%s of %s are sent now. Follow them: rebuilder deliveries list --subscriber %s", api.Count(r.Events, "event"), r.Subscriber, r.Subscriber)
		return nil
	}
	return cmd
}

func (p *printer) deliveries(d api.Deliveries) {
	if len(d.Outlets) == 0 {
		p.line("The catalog names nobody to be told: see [[chat]] and [[subscriber]] in docs/catalog.md")
	} else {
		rows := [][]string{{"WHO", "STATE", "LAST TOLD", "EVENTS", "WHAT IS WRONG"}}
		for _, o := range d.Outlets {
			rows = append(rows, []string{o.Kind + " " + o.Name, p.state(o.State), p.when(o.WorkedAt), eventsOf(o), p.wrong(o)})
		}
		p.table("", rows)
	}
	if d.Total == 0 {
		return
	}
	p.line("%d of %s, the newest first", len(d.Deliveries), api.Count(d.Total, "event"))
	if len(d.Deliveries) == 0 {
		return
	}
	rows := [][]string{{"EVENT", "SUBSCRIBER", "TYPE", "OF", "STATE", "TRIES", "THE LAST"}}
	for _, x := range d.Deliveries {
		rows = append(rows, []string{x.Event, x.Subscriber, strings.TrimPrefix(x.Type, "rebuilder."), x.Subject, p.state(x.State), fmt.Sprint(x.Count), p.lastTry(x)})
		if len(x.Tries) < 2 {
			continue
		}
		for i, t := range x.Tries {
			rows = append(rows, []string{"", "", "", "", "", fmt.Sprint(i + 1), p.try(t)})
		}
	}
	p.table("  ", rows)
}

// eventsOf counts a subscriber's events: "2 pending, 40 delivered".
func eventsOf(o api.Outlet) string {
	var out []string
	for _, s := range []string{"parked", "pending", "delivered"} {
		if n := o.Events[s]; n > 0 {
			out = append(out, api.Thousands(n)+" "+s)
		}
	}
	return strings.Join(out, ", ")
}

func (p *printer) wrong(o api.Outlet) string {
	if o.Problem == "" {
		return ""
	}
	return o.Problem + " (for " + p.age(o.Since) + "; next try " + p.when(o.Next) + ")"
}

func (p *printer) lastTry(d api.Delivery) string {
	if len(d.Tries) == 0 {
		return "not tried yet"
	}
	s := p.try(d.Tries[len(d.Tries)-1])
	if d.State == "pending" {
		s += "; next " + p.when(d.Next)
	}
	return s
}

func (p *printer) try(t api.Try) string {
	s := fmt.Sprintf("%s, took %s", p.when(t.At), time.Duration(t.TookMS)*time.Millisecond)
	if t.Error != "" {
		return t.Error + ", " + s
	}
	return fmt.Sprintf("%d, %s", t.Status, s)
}
