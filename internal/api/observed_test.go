package api

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// What nobody declared is counted apart: discovery never turns a healthy fleet into an unknown one.
func TestObservedImagesAreCountedApart(t *testing.T) {
	r := small(t).look(t)
	s, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Fleet.Images != 9 || s.Fleet.Observed != 1 || s.Fleet.Kinds["observed"] != 0 || s.Unknown != s.Fleet.States[Unknown] {
		t.Errorf("status: %+v, %d unknown", s.Fleet, s.Unknown)
	}
	sum := 0
	for _, n := range s.Fleet.States {
		sum += n
	}
	if sum != 9 {
		t.Errorf("the states of %d images, want those of the 9 that are declared: %v", sum, s.Fleet.States)
	}
	a, err := r.Affected(t.Context(), "openssl", false)
	if err != nil || a.Images != 10 || a.Observed != 1 {
		t.Errorf("affected: of %d images %d observed, %v", a.Images, a.Observed, err)
	}
}

func TestMetricsCountObservedImagesToo(t *testing.T) {
	r := small(t).look(t)
	reg := prometheus.NewRegistry()
	if err := reg.Register(newGauges(r)); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "rebuilder_images" {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "kind" {
						count[l.GetValue()] += m.GetGauge().GetValue()
					}
				}
			}
		}
	}
	for kind, want := range map[string]float64{"upstream": 1, "base": 4, "application": 4, "observed": 1} {
		if count[kind] != want {
			t.Errorf("%g of kind %s, want %g", count[kind], kind, want)
		}
	}
}
