package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

const scrapePatience = 5 * time.Second

// metrics are counted when they are asked for, from the store, so that they are right after a restart.
func (s *Server) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	own := append([]prometheus.Collector{newGauges(&s.Reader), newHands(&s.Reader), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, s.d.Collectors...)
	for _, c := range own {
		if err := reg.Register(c); err != nil {
			s.d.Log.Error("metric left out", "error", err)
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		Timeout: 2 * scrapePatience, ErrorLog: slog.NewLogLogger(s.d.Log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
	})
}

// gauges collects what the store and the last look say.
type gauges struct {
	r *Reader

	info, images, rollouts, proposals, builds     *prometheus.Desc
	watcherOK, watcherRun, watcherNext, late      *prometheus.Desc
	lead, leadNoticed, catalog, planSteps, looked *prometheus.Desc
	verdicts, findings, judged                    *prometheus.Desc
}

func newGauges(r *Reader) *gauges {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("rebuilder_"+name, help, labels, nil)
	}
	return &gauges{
		r:           r,
		info:        d("build_info", "Always 1; which version runs.", "version", "goversion"),
		images:      d("images", "Images by kind and state. All kinds but observed, which nobody declared, add up to the whole catalog.", "kind", "state"),
		rollouts:    d("rollouts", "Rollouts by state, of all times.", "state"),
		proposals:   d("proposals", "What applications were told, by state, of all times.", "state"),
		builds:      d("build_duration_seconds", "Ended builds by outcome (done, failed, lost) and how long they took.", "outcome"),
		watcherOK:   d("watcher_last_success_timestamp_seconds", "When something that runs again and again last worked; 0: never.", "watcher"),
		watcherRun:  d("watcher_last_run_timestamp_seconds", "When it last ran, whatever came of it.", "watcher"),
		watcherNext: d("watcher_next_run_timestamp_seconds", "When it is due again.", "watcher"),
		late:        d("watcher_late", "1 when it is overdue by more than its own interval.", "watcher"),
		lead:        d("last_fix_lead_time_seconds", "The newest rollout of a patch: from its publication by the distribution to the last image proven."),
		leadNoticed: d("last_fix_since_noticed_seconds", "The newest rollout of a patch: from our noticing it to the last image proven."),
		catalog:     d("catalog_last_reload_successful", "1 when the catalog on disk is the one in use."),
		verdicts:    d("images_verdict", "Images of the catalog by the last verdict on what they are now: pass, fail, unknown, or none: not judged yet.", "outcome"),
		findings:    d("findings", "Findings in images of the catalog as they are now, by what became of them; fixable: there is a fix.", "kind", "severity", "fixable", "outcome"),
		judged:      d("oldest_verdict_timestamp_seconds", "When the oldest of those verdicts was made. They are made again when something that they rest on changes."),
		planSteps:   d("plan_steps", "Steps that the last look would start."),
		looked:      d("last_look_timestamp_seconds", "How old the facts are that all of this rests on; 0: never looked."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.info, g.images, g.rollouts, g.proposals, g.builds, g.watcherOK, g.watcherRun, g.watcherNext, g.late, g.lead, g.leadNoticed, g.catalog, g.planSteps, g.looked, g.verdicts, g.findings, g.judged} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What cannot be counted is an error of the scrape, never a 0.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	ch <- gauge(g.info, 1, g.r.Version, runtime.Version())
	for _, part := range []struct {
		desc    *prometheus.Desc
		collect func(context.Context, chan<- prometheus.Metric) error
	}{
		{g.images, g.collectImages}, {g.rollouts, g.collectStates}, {g.builds, g.collectBuilds}, {g.watcherOK, g.collectWatchers}, {g.lead, g.collectLead},
	} {
		if err := part.collect(ctx, ch); err != nil {
			ch <- prometheus.NewInvalidMetric(part.desc, err)
		}
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// stamp is a time as Prometheus wants it; one that has not come is 0.
func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (g *gauges) collectImages(ctx context.Context, ch chan<- prometheus.Metric) error {
	v, err := g.r.view(ctx)
	if err != nil {
		return err
	}
	counts := map[string]map[ImageState]int{}
	for _, k := range kinds() {
		counts[k] = map[ImageState]int{}
	}
	all := v.images()
	for _, i := range all {
		if counts[i.Kind] == nil {
			counts[i.Kind] = map[ImageState]int{}
		}
		counts[i.Kind][i.State]++
	}
	if err := g.collectVerdicts(ctx, ch, all); err != nil {
		ch <- prometheus.NewInvalidMetric(g.verdicts, err)
	}
	for kind, states := range counts {
		for _, s := range ImageStates() {
			ch <- gauge(g.images, float64(states[s]), kind, string(s))
		}
	}
	catalog := 1.0
	if v.snap.CatalogProblem != "" {
		catalog = 0
	}
	ch <- gauge(g.catalog, catalog)
	ch <- gauge(g.looked, stamp(v.snap.At))
	if v.snap.Plan != nil {
		ch <- gauge(g.planSteps, float64(len(v.snap.Plan.Steps)))
	}
	return nil
}

// collectVerdicts counts what is kept of verdicts. All labels have few values, whatever is found.
func (g *gauges) collectVerdicts(ctx context.Context, ch chan<- prometheus.Metric, all []Image) error {
	judged, err := g.r.verdicts(ctx, all)
	if err != nil {
		return err
	}
	v := verdictsOf(all, judged)
	for outcome, n := range map[policy.VerdictOutcome]int{policy.Pass: v.Pass, policy.Fail: v.Fail, policy.Undecided: v.Unknown, "none": v.NotJudged} {
		ch <- gauge(g.verdicts, float64(n), string(outcome))
	}
	if !v.Oldest.IsZero() {
		ch <- gauge(g.judged, stamp(v.Oldest))
	}
	counts := map[store.Tally]int{}
	for _, i := range all {
		if !i.declared() {
			continue
		}
		for _, t := range judged[i.Digest].Tally {
			n := t.Count
			t.Count = 0
			counts[t] += n
		}
	}
	for _, kind := range []policy.Kind{policy.Vulnerability, policy.Secret, policy.Hygiene} {
		for _, severity := range policy.Severities() {
			for _, outcome := range policy.Outcomes() {
				for _, fixable := range []bool{false, true} {
					n := counts[store.Tally{Kind: kind, Severity: severity, Outcome: outcome, Fixable: fixable}]
					ch <- gauge(g.findings, float64(n), string(kind), string(severity), strconv.FormatBool(fixable), string(outcome))
				}
			}
		}
	}
	return nil
}

func (g *gauges) collectStates(ctx context.Context, ch chan<- prometheus.Metric) error {
	tables := []struct {
		name   string
		desc   *prometheus.Desc
		states []string
	}{
		{"rollout", g.rollouts, text(store.Planned, store.Running, store.Paused, store.Halted, store.Finished, store.Broken, store.Cancelled)},
		{"proposal", g.proposals, text(store.ProposalPlanned, store.ProposalOpen, store.ProposalMerged, store.ProposalBuilt, store.ProposalClosed, store.ProposalSuperseded)},
	}
	for _, t := range tables {
		counts, err := store.CountByState(ctx, g.r.Store.Q(), t.name)
		if err != nil {
			return err
		}
		for _, s := range t.states {
			ch <- gauge(t.desc, float64(counts[s]), s)
		}
	}
	return nil
}

func text[S ~string](states ...S) []string {
	out := make([]string, len(states))
	for i, s := range states {
		out[i] = string(s)
	}
	return out
}

func (g *gauges) collectBuilds(ctx context.Context, ch chan<- prometheus.Metric) error {
	bounds := []int{5, 15, 30, 60, 120, 300, 600, 1800, 3600} // seconds
	all, err := store.BuildDurations(ctx, g.r.Store.Q(), bounds)
	if err != nil {
		return err
	}
	for _, d := range all {
		buckets := map[float64]uint64{}
		for i, bound := range bounds {
			buckets[float64(bound)] = uint64(d.Buckets[i]) // #nosec G115 -- a count
		}
		ch <- prometheus.MustNewConstHistogram(g.builds, uint64(d.Count), float64(d.Sum)/1000, buckets, d.State) // #nosec G115 -- a count
	}
	return nil
}

func (g *gauges) collectWatchers(ctx context.Context, ch chan<- prometheus.Metric) error {
	all, err := store.Watchers(ctx, g.r.Store.Q())
	if err != nil {
		return err
	}
	for _, w := range all {
		ch <- gauge(g.watcherOK, stamp(at(w.LastOK)), w.Name)
		ch <- gauge(g.watcherRun, stamp(at(w.LastRun)), w.Name)
		ch <- gauge(g.watcherNext, stamp(at(w.NextRun)), w.Name)
		late := 0.0
		if watcherOf(w).judged(g.r.Now().UTC()).State == WatcherLate {
			late = 1
		}
		ch <- gauge(g.late, late, w.Name)
	}
	return nil
}

func (g *gauges) collectLead(ctx context.Context, ch chan<- prometheus.Metric) error {
	fix, found, err := store.LastFix(ctx, g.r.Store.Q())
	if err != nil || !found {
		return err
	}
	if fix.PublishedAt > 0 {
		ch <- gauge(g.lead, float64(fix.EndedAt-fix.PublishedAt)/1000)
	}
	if fix.NoticedAt > 0 {
		ch <- gauge(g.leadNoticed, float64(fix.EndedAt-fix.NoticedAt)/1000)
	}
	return nil
}
