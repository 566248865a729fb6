package api

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"rebuilder/internal/store"
)

// hands collects what people did with channels.
type hands struct {
	r                      *Reader
	rollbacks, quarantined *prometheus.Desc
}

func newHands(r *Reader) *hands {
	return &hands{r,
		prometheus.NewDesc("rebuilder_rollbacks_total", "Channels that people moved back, of all times.", nil, nil),
		prometheus.NewDesc("rebuilder_quarantined", "Digests in quarantine now, by who put them there: human, or automation because of those.", []string{"kind"}, nil)}
}

// Describe implements prometheus.Collector.
func (h *hands) Describe(ch chan<- *prometheus.Desc) { ch <- h.rollbacks; ch <- h.quarantined }

// Collect implements prometheus.Collector.
func (h *hands) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	n, err := store.CountChannelMoves(ctx, h.r.Store.Q(), store.MoveRollback)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(h.rollbacks, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(h.rollbacks, prometheus.CounterValue, float64(n))
	all, err := store.Quarantines(ctx, h.r.Store.Q(), "")
	if err != nil {
		ch <- prometheus.NewInvalidMetric(h.quarantined, err)
		return
	}
	counts := map[string]int{}
	for _, z := range all {
		if z.Because == "" {
			counts[store.Human]++
		} else {
			counts[store.Automation]++
		}
	}
	for _, kind := range []string{store.Human, store.Automation} {
		ch <- gauge(h.quarantined, float64(counts[kind]), kind)
	}
}
