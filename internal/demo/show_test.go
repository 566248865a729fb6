package demo_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/demo"
	"rebuilder/internal/golden"
)

var published = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func report() demo.Report {
	return demo.Report{
		PublishedAt: published,
		NoticedAt:   published.Add(2300 * time.Millisecond),
		Images: []demo.ReportImage{
			{Name: "base/debian", Kind: "base", OldDigest: "sha256:" + strings.Repeat("a1", 32), NewDigest: "sha256:" + strings.Repeat("b2", 32),
				Package: "libssl3", From: "3.0.20-1~deb12u2", To: "3.0.22-1~deb12u2", Proven: true, Seconds: 14.26},
			{Name: "shop/shop-worker", Kind: "application", OldDigest: "sha256:" + strings.Repeat("c3", 32),
				Package: "libssl3", From: "3.0.20-1~deb12u2", Seconds: 41},
		},
		PullRequests: 5, Dispatches: 1, SetupSeconds: 52.4, LoopSeconds: 41.04,
	}
}

func TestTable(t *testing.T) {
	for name, width := range map[string]int{"table": 0, "table-narrow": 60} {
		var b strings.Builder
		must(t, demo.Table(&b, report(), width))
		golden.Compare(t, filepath.Join("testdata", name+".golden"), b.String())
	}
}

func TestReportHasExactlyItsFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo-report.json")
	must(t, demo.WriteReport(path, report()))
	data, err := os.ReadFile(path)
	must(t, err)
	golden.Compare(t, filepath.Join("testdata", "report.json.golden"), string(data))
	var back demo.Report
	must(t, json.Unmarshal(data, &back))
	if back.Proven() || !back.Images[0].Proven {
		t.Error("one image of two is proven")
	}
	if (demo.Report{}).Proven() {
		t.Error("nothing is proven by a report without images")
	}
}

func TestProgressPlain(t *testing.T) {
	golden.Compare(t, filepath.Join("testdata", "progress-plain.golden"), show(demo.ProgressConfig{}))
}

func TestProgressLive(t *testing.T) {
	got := show(demo.ProgressConfig{Live: true, Width: func() int { return 60 }})
	golden.Compare(t, filepath.Join("testdata", "progress-live.golden"), strings.ReplaceAll(got, "\x1b", "<esc>"))
}

// show plays a short story; its clock goes on by a second each time that it is asked.
func show(c demo.ProgressConfig) string {
	clock := published
	c.Now = func() time.Time { clock = clock.Add(time.Second); return clock }
	var b strings.Builder
	p := demo.NewProgress(&b, c)
	debian := demo.Update{Image: "base/debian", State: "building", Detail: "RUN apt-get update && apt-get -y upgrade && a very long rest", Started: published}
	p.Update(demo.Update{Image: "base/python", State: "waiting", Detail: "for base/debian"})
	p.Update(debian)
	p.Update(debian) // nothing new
	p.Say("published libssl3 3.0.20-1~deb12u2 -> 3.0.22-1~deb12u2 (security suite)")
	p.Clock("since publication", published)
	debian.State, debian.Detail, debian.Ended = "done", "", published.Add(12340*time.Millisecond)
	p.Update(debian)
	p.Update(demo.Update{
		Image: "base/python", State: "failed", Detail: "RUN exited with 100", Started: published, Ended: published.Add(3 * time.Second),
		Failed: true, Log: append(strings.Split(strings.Repeat("early line\n", 20), "\n"), "E: no\x1b[2Jsuch package"),
	})
	p.Close()
	p.Close()
	p.Update(demo.Update{Image: "late", State: "building"})
	return b.String()
}
