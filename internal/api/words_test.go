package api_test

import (
	"testing"
	"time"

	"rebuilder/internal/api"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", 59*time.Minute + 59*time.Second: "59 min",
		time.Hour: "1 h", 3*time.Hour + 20*time.Minute: "3 h 20 min", 47 * time.Hour: "47 h", 49 * time.Hour: "2 days",
	} {
		if got := api.Age(d); got != want {
			t.Errorf("Age(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestWhen(t *testing.T) {
	now := time.Date(2026, 12, 3, 10, 0, 0, 0, time.UTC)
	elsewhere := time.FixedZone("elsewhere", 5*3600)
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{time.Time{}, "never"},
		{now.Add(-3 * time.Minute).In(elsewhere), "09:57 UTC, 3 min ago"},
		{now.Add(16 * time.Hour), "02:00 UTC on 4 Dec, in 16 h"},
		{now.AddDate(-1, 0, 0), "10:00 UTC on 3 Dec 2025, 365 days ago"},
	} {
		if got := api.When(tt.at, now); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestCount(t *testing.T) {
	for want, got := range map[string]string{"1 image": api.Count(1, "image"), "0 images": api.Count(0, "image"), "1,200 images": api.Count(1200, "image"), "1 dispatch": api.Count(1, "dispatch"), "2 dispatches": api.Count(2, "dispatch")} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := api.Thousands(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestOutcomesNameWhatWentWrongFirst(t *testing.T) {
	for want, states := range map[string]map[string]int{
		"":                                       {},
		"10 done":                                {"done": 10, "failed": 0},
		"1,200 done":                             {"done": 1200},
		"1 blocked, 2 failed, 1 done, 6 skipped": {"skipped": 6, "failed": 2, "done": 1, "blocked": 1},
	} {
		if got := api.Outcomes(api.Rollout{States: states}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
