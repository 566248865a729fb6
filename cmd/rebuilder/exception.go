package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

func newException(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exception",
		Short: "Accept findings for a while: ask, approve, take back, list",
		Long: `An exception lets one finding, an advisory's or a rule's, pass in some images until a day. It has an owner and a reason, and
somebody else than who asks for it approves it. Nothing is excused before that, nor after its day. Exceptions that stand in
the catalog are listed, too, and are changed there.`,
		SuggestionsMinimumDistance: 2,
		Args:                       func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) },
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExceptionRequest(c), newDecision(c, "approve", "Make an exception count that somebody else asked for", ""),
		newDecision(c, "reject", "Say no to an exception that is asked for", "why, for who asked"),
		newDecision(c, "revoke", "Take an exception back, approved or only asked for", "why, for the register"), newExceptionList(c))
	return cmd
}

// by adds --by to a command: who acts, as far as this machine knows.
func (c *cli) by(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "by", whoami(c.env), "your name, for the audit log")
}

func newExceptionRequest(c *cli) *cobra.Command {
	var q api.ExceptionRequest
	cmd := &cobra.Command{
		Use:   "request FINDING",
		Short: "Ask that a finding be accepted for a while",
		Long: `Ask for an exception. FINDING is an advisory by any of its names or a rule: CVE-2026-1234, root-user. Name the images that it
is for, by names or by patterns, in which * stands for anything but a slash; without any it is for all. It lasts until the
end of a day, for a year at most.

Asking excuses nothing: somebody else approves it. Give --id to be able to ask again without asking twice.`,
		Example: `  rebuilder exception request CVE-2026-1234 --image web --package libssl3 --owner "web team" --reason "uploads are off" --expires 30d`,
		Args:    wants(1, 1, "a finding", "like: rebuilder exception request CVE-2026-1234 --image web", "see what there is: rebuilder status"),
	}
	f := cmd.Flags()
	f.StringArrayVar(&q.Images, "image", nil, "an image, or a pattern such as 'base/*'; may be given again; none: all images")
	f.StringVar(&q.Package, "package", "", "only in this package, or what is built from a source of this name")
	f.StringVar(&q.Reason, "reason", "", "why it may be accepted")
	f.StringVar(&q.Owner, "owner", "", "who answers for it")
	f.StringVar(&q.Expires, "expires", "", "until when: a date such as 2026-12-31, or a number of days such as 30d")
	f.StringVar(&q.ID, "id", "", "an id of your own: the same one again changes nothing")
	c.by(cmd, &q.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Finding = args[0]
		for _, f := range []struct{ flag, is, what string }{{"reason", q.Reason, `why it may be accepted: --reason "uploads are off"`}, {"owner", q.Owner, `who answers for it: --owner "web team"`}, {"expires", q.Expires, "until when: --expires 30d"}} {
			if strings.TrimSpace(f.is) == "" {
				return &exit{exitUsage, hint(fmt.Errorf("--%s is missing", f.flag), "say %s", f.what)}
			}
		}
		a, err := c.client().RequestException(cmd.Context(), q)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, a)
		}
		clean(&a)
		p := c.printer(cmd, time.Time{})
		switch {
		case a.Again && a.State != api.ExceptionRequested:
			p.line("Exception %s was asked for before, by %s, and is %s.", a.ID, a.Requester, a.State)
			return nil
		case a.Again:
			p.line("Exception %s was asked for before, by %s: nothing is asked for twice.", a.ID, a.Requester)
		default:
			p.line("Exception %s is asked for: %s%s, until %s.", a.ID, a.Finding, scope(a.Exception), day(a.ExpiresAt))
		}
		p.line("Somebody else than %s approves it: rebuilder exception approve %s", a.Requester, a.ID)
		return nil
	}
	return cmd
}

// newDecision is a verb that decides on an exception; reason says what its reason is for, empty: it needs none.
func newDecision(c *cli, verb, short, reason string) *cobra.Command {
	var d api.Decision
	cmd := &cobra.Command{
		Use: verb + " ID", Short: short, Args: wants(1, 1, "an exception's id", "list them: rebuilder exception list"), ValidArgsFunction: cobra.NoFileCompletions,
	}
	if reason != "" {
		cmd.Flags().StringVar(&d.Reason, "reason", "", reason)
	}
	c.by(cmd, &d.By)
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reason != "" && strings.TrimSpace(d.Reason) == "" {
			return &exit{exitUsage, hint(fmt.Errorf("--reason is missing"), `say %s: --reason "a patch is out"`, reason)}
		}
		e, err := c.client().DecideException(cmd.Context(), args[0], verb, d)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, e)
		}
		clean(&e)
		p := c.printer(cmd, time.Time{})
		who := e.EndedBy
		if e.State == api.ExceptionApproved {
			who = e.Approver
		}
		p.line("Exception %s is %s, by %s: %s%s.", e.ID, e.State, who, e.Finding, scope(e))
		p.line("Images are judged again now: rebuilder exception list")
		return nil
	}
	return cmd
}

func newExceptionList(c *cli) *cobra.Command {
	var states []string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Exceptions, those of the catalog and those that were asked for, and what each excuses now",
		Long: `List exceptions: what has expired first, then what waits for approval, then what counts, the first to end first. What each
excuses is counted in the images that are there, from their last verdicts; what has expired, or is only asked for, would excuse
so much.`,
		Args: wants(0, 0, ""),
	}
	cmd.Flags().StringArrayVar(&states, "state", nil, "only those that are "+strings.Join(api.ExceptionStates(), ", ")+"; may be given again")
	cmd.Flags().BoolVar(&all, "all", false, "list also what was rejected or revoked")
	o := output(cmd, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := c.client().Exceptions(cmd.Context(), states, all)
		if err != nil {
			return err
		}
		if o.value == "json" {
			return printJSON(cmd, e)
		}
		clean(&e)
		c.printer(cmd, e.Now).exceptions(e)
		return nil
	}
	return cmd
}

func (p *printer) exceptions(e api.Exceptions) {
	var counts []string
	for _, s := range api.ExceptionStates() {
		if n := e.States[s]; n > 0 || s == api.ExceptionApproved {
			counts = append(counts, fmt.Sprintf("%s %s", api.Thousands(n), s))
		}
		if s == api.ExceptionApproved && e.Soon > 0 {
			counts[len(counts)-1] += fmt.Sprintf(" (%s ends soon)", api.Thousands(e.Soon))
		}
	}
	p.line("Exceptions  %s  (%s of %s judged; %s)", strings.Join(counts, " · "), api.Thousands(e.Judged), api.Count(e.Images, "image"), p.asOf(e.AsOf))
	for _, x := range e.Exceptions {
		state := x.State
		if x.Soon {
			state = "expiring"
		}
		p.table("  ", [][]string{{x.ID, p.state(state), x.Finding + scope(x), x.Sentence}})
		p.line("      until %s · owner %s%s", day(x.ExpiresAt), x.Owner, said(" · ", people(x)))
		p.line("      %s", x.Reason)
	}
}

// people says who asked for an exception, and who approved it.
func people(x api.Exception) string {
	var out []string
	if x.Catalog {
		out = append(out, "in the catalog")
	}
	if x.Requester != "" {
		out = append(out, "asked for by "+x.Requester)
	}
	if x.Approver != "" {
		out = append(out, "approved by "+x.Approver)
	}
	return strings.Join(out, " · ")
}

// scope says what of a finding an exception is for.
func scope(e api.Exception) string {
	s := ", all images"
	if len(e.Images) > 0 {
		s = ", " + strings.Join(e.Images, ", ")
	}
	if e.Package != "" {
		s = " in " + e.Package + s
	}
	return s
}

// day is a date.
func day(t time.Time) string { return t.Format(time.DateOnly) }
