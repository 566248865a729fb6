package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

const defaultServer = "http://127.0.0.1:5540"

// cli is what the verbs share.
type cli struct {
	env     func(string) string
	server  string
	noColor bool
}

const exitTable = `Exit codes:
  0   it worked
  1   it did not; what is wrong and what to do is on standard error
  2   plan --exit-code: there is something to do; affected --exit-code: an image is affected;
      verify, scan --exit-code: the image fails its policies; diff --exit-code: the images differ
  3   with --exit-code: none of that as far as is known, but something is not known;
      affected and why: the question cannot be answered at all, as of an advisory without a source of advisories;
      vex export: nothing is known of some of the images;
      verify, scan --exit-code: nothing fails as far as is known, but not all could be looked for
  64  the command was not understood
  130 interrupted`

// verbs lists every command, in the order of the help.
func verbs(c *cli) []*cobra.Command {
	return []*cobra.Command{
		grouped("daemon", newDemo()), grouped("daemon", newInit()), grouped("daemon", newCatalog()), grouped("daemon", newSigning(c.env)), grouped("daemon", newServe()),
		grouped("ask", newStatus(c)), grouped("ask", newPlan(c)), grouped("ask", newApply(c)), grouped("ask", newRefresh(c)), grouped("ask", newRollouts(c)), grouped("ask", newWatch(c)), grouped("ask", newPullRequests(c)),
		grouped("act", newPause(c)), grouped("act", newResume(c)), grouped("act", newRetry(c)), grouped("act", newStop(c)), grouped("act", newCritical(c)),
		grouped("ask", newRollback(c)), grouped("ask", newPromote(c)), grouped("ask", newQuarantine(c)),
		grouped("ask", newImages(c)), grouped("ask", newGraph(c)), grouped("ask", newWhy(c)), grouped("ask", newAffected(c)), grouped("ask", newAdvisories(c)), grouped("ask", newException(c)), grouped("ask", newVEX(c)), grouped("ask", newDeliveries(c)), grouped("ask", newBuilds(c)), grouped("ask", newLogs(c)),
		grouped("judge", newShow(c)), grouped("judge", newScan(c)), grouped("judge", newVerify(c)), grouped("judge", newDiff(c)), grouped("judge", newSBOM(c)),
		grouped("more", newVersion()), newBuildkitd(),
	}
}

func grouped(group string, cmd *cobra.Command) *cobra.Command {
	cmd.GroupID = group
	return cmd
}

func newRoot(env func(string) string) *cobra.Command {
	c := &cli{env: env}
	root := &cobra.Command{
		Use:   "rebuilder",
		Short: "Carry patched OS packages through base images to applications",
		Long: `Carry a patched OS package from a distribution's index through base images, rebuilt in order, to the applications
that stand on them, and prove that it arrived.

` + exitTable,
		Example: `  rebuilder demo                see what it does, in a small world of its own
  rebuilder init                write a commented catalog.toml
  rebuilder catalog check       see whether it is right
  rebuilder serve               run the daemon
  rebuilder status              how things are, and what needs you
  rebuilder why IMAGE           everything about one image
  rebuilder affected PACKAGE    which images have it
  rebuilder verify IMAGE        whether it passes its policies, as exit status`,
		Args:                       wants(0, 0, "a command"),
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.Args = func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "", "address of the daemon (env REBUILDER_SERVER; default "+defaultServer+")")
	f.BoolVar(&c.noColor, "no-color", false, "no colours (env NO_COLOR does it, too)")
	root.AddGroup(&cobra.Group{ID: "daemon", Title: "Run it:"}, &cobra.Group{ID: "ask", Title: "Ask the daemon:"}, &cobra.Group{ID: "act", Title: "Steer a rollout:"}, &cobra.Group{ID: "judge", Title: "What is in images, and whether that is good enough:"}, &cobra.Group{ID: "more", Title: "More:"})
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	root.AddCommand(verbs(c)...)
	return root
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("there is no command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return &exit{exitUsage, hint(err, "did you mean: %s", nearest(cmd, near))}
	}
	return usage(cmd, err)
}

// nearest are commands as they would be typed.
func nearest(cmd *cobra.Command, names []string) string {
	var typed []string
	for _, n := range names {
		typed = append(typed, cmd.CommandPath()+" "+n)
	}
	return strings.Join(typed, ", or ")
}

// usage is the error of a command that was not understood.
func usage(cmd *cobra.Command, err error) error {
	return &exit{exitUsage, hint(err, "see: %s --help", cmd.CommandPath())}
}

// wants checks the number of arguments; what says what they are, where on where they can be seen.
func wants(least, most int, what string, where ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < least && len(where) > 0:
			return &exit{exitUsage, hint(fmt.Errorf("%s is missing", what), "%s", strings.Join(where, "\n"))}
		case n < least:
			return usage(cmd, fmt.Errorf("%s is missing", what))
		case n > most:
			return usage(cmd, fmt.Errorf("too many arguments: %s", strings.Join(args[most:], " ")))
		}
		return nil
	}
}

// client asks the daemon; an address on the command line wins over one in the environment.
func (c *cli) client() *api.Client {
	return api.NewClient(cmp.Or(c.server, c.env("REBUILDER_SERVER"), defaultServer), c.env("REBUILDER_API_TOKEN"))
}

// format is an output format, one of some.
type format struct {
	value   string
	allowed []string
}

// output adds -o to a command; the first format is the default.
func output(cmd *cobra.Command, allowed ...string) *format {
	f := &format{allowed[0], allowed}
	cmd.Flags().VarP(f, "output", "o", "how to print: "+strings.Join(allowed, ", "))
	if slices.Contains(allowed, "json") {
		cmd.Flags().BoolFunc("json", "the same as -o json", func(on string) error {
			if on == "false" {
				return nil
			}
			return f.Set("json")
		})
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)) // only fails when there is no such flag
	return f
}

func (f *format) String() string { return f.value }
func (f *format) Type() string   { return "format" }
func (f *format) Set(s string) error {
	if !slices.Contains(f.allowed, s) {
		return errors.New("want one of " + strings.Join(f.allowed, ", "))
	}
	f.value = s
	return nil
}

// completeImages offers the names of images for the first argument.
func (c *cli) completeImages(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	g, err := c.client().Graph(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, i := range g.Images {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRollouts offers the ids of the newest rollouts.
func (c *cli) completeRollouts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	all, err := c.client().Rollouts(ctx, 20)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, r := range all.Rollouts {
		ids = append(ids, r.ID+"\t"+cleanLine(r.Title))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
