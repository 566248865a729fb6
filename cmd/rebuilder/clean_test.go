package main

import (
	"strings"
	"testing"

	"rebuilder/internal/api"
)

func TestCleanReachesEveryString(t *testing.T) {
	const evil = "a\x1b[2Jb\nc"
	w := api.Why{Image: api.Image{Name: evil, State: evil}, Last: []api.Node{{Reasons: []string{evil}}}, Waits: &api.Wait{For: evil}, Package: &api.PackageWhy{Newer: &api.Patch{To: evil}}}
	clean(&w)
	for i, got := range []string{w.Image.Name, string(w.Image.State), w.Last[0].Reasons[0], w.Waits.For, w.Package.Newer.To} {
		if got != "ab c" {
			t.Errorf("%d: %q", i, got)
		}
	}
	p := api.Proposal{Wants: map[string]string{"base": evil}}
	clean(&p)
	if p.Wants["base"] != "ab c" {
		t.Errorf("%q", p.Wants["base"])
	}
}

func TestLogsAreCleanedLineByLine(t *testing.T) {
	var out strings.Builder
	long := strings.Repeat("x", longestLine+10)
	if err := copyClean(&out, strings.NewReader("#7 0.8 10%\r20%\r\nover\rwritten\n\x1b[1mok\x1b[0m\n"+long+"\nno end")); err != nil {
		t.Fatal(err)
	}
	want := "#7 0.8 20%\nwritten\nok\n" + long[:longestLine] + "\n" + long[longestLine:] + "\nno end\n"
	if out.String() != want {
		t.Errorf("%.200q, want %.200q", out.String(), want)
	}
}
