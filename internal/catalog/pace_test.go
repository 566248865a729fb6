package catalog

import (
	"reflect"
	"testing"
	"time"

	"rebuilder/internal/pace"
)

func TestPace(t *testing.T) {
	c, err := Parse("catalog.toml", []byte(`
[rollout]
waves = ["canary", "10%", { tell = "50%", soak = "4h" }]
soak = "30m"
wave_timeout = "1d"
failure_budget = 2
canaries = ["web", "shop/*"]
canary_labels = { stage = "canary" }
[budget]
open = 10
reserved = "30%"
[[application]]
name = "web"
repository = "acme/web"
image = "registry.example.com/apps/web:main"
`), now)
	if err != nil {
		t.Fatal(err)
	}
	const day, soak = 24 * time.Hour, 30 * time.Minute
	want := Pace{
		Waves: []pace.Wave{
			{Name: "canary", Canary: true, Count: 3, Soak: soak, Within: day},
			{Name: "10%", Share: 10, Soak: soak, Within: day},
			{Name: "50%", Share: 50, Soak: 4 * time.Hour, Within: day},
			{Name: "100%", Share: 100, Within: day},
		},
		Canaries: []string{"web", "shop/*"}, CanaryLabels: map[string]string{"stage": "canary"},
		FailureBudget: &pace.Budget{Most: 2}, Limits: pace.Limits{Open: 10, Reserved: 30},
	}
	if !reflect.DeepEqual(c.Pace, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c.Pace, want)
	}
}

// Without a word on it nothing holds anybody.
func TestPaceOfNothing(t *testing.T) {
	c, err := Parse("catalog.toml", nil, now)
	if err != nil || !reflect.DeepEqual(c.Pace, Pace{}) {
		t.Errorf("%+v %v", c.Pace, err)
	}
	c, err = Parse("catalog.toml", []byte("[rollout]\nwaves = [\"100%\"]\n"), now)
	if err != nil || len(c.Pace.Waves) != 1 || c.Pace.FailureBudget != nil {
		t.Errorf("%+v %v", c.Pace, err)
	}
	c, err = Parse("catalog.toml", []byte("[rollout]\nwaves = [\"1%\"]\n[budget]\nopen = 1\n"), now)
	if err != nil || len(c.Pace.Waves) != 2 || *c.Pace.FailureBudget != (pace.Budget{Most: 10, Percent: true}) || c.Pace.Limits.Reserved != 20 {
		t.Errorf("%+v %v", c.Pace, err)
	}
}

func TestFreezes(t *testing.T) {
	c, err := Load("testdata/full/catalog.toml")
	if err != nil {
		t.Fatal(err)
	}
	weekend, christmas := c.Pace.Freezes[0], c.Pace.Freezes[1]
	if christmas.From != time.Date(2026, 12, 20, 5, 0, 0, 0, time.UTC) || christmas.To != time.Date(2027, 1, 3, 17, 0, 0, 0, time.UTC) || christmas.Spread != 0 {
		t.Errorf("%+v", christmas)
	}
	w := weekend.Window()
	shop := pace.Item{Name: "shop", Images: []string{"shop/api"}, Labels: map[string]string{"owner": "shop"}}
	saturday := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	if _, until, frozen := w.Frozen(shop, saturday, saturday); !frozen || until.Before(time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)) || until.After(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("frozen %v until %s", frozen, until)
	}
	shop.Labels = nil
	if _, _, frozen := w.Frozen(shop, saturday, saturday); frozen {
		t.Error("it has not the label")
	}
}
