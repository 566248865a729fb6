package notify_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/notify"
)

func TestCommands(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		comment string
		want    []notify.Asked
	}{
		"nothing":             {"Thank you, /rebuilder rebase is what I would do.", nil},
		"one":                 {"/rebuilder rebase", []notify.Asked{{Action: notify.Rebase}}},
		"two words":           {"/rebuilder take over", []notify.Asked{{Action: notify.TakeOver}}},
		"wait":                {"/rebuilder wait", []notify.Asked{{Action: notify.Wait, For: day}}},
		"wait for days":       {"Please\r\n/rebuilder wait 3d\r\n", []notify.Asked{{Action: notify.Wait, For: 3 * day}}},
		"wait for ever":       {"/rebuilder wait 9999d", []notify.Asked{{Action: notify.Wait, For: notify.LongestWait}}},
		"wait for no time":    {"/rebuilder wait 0h", []notify.Asked{{Action: notify.Wait, For: time.Hour}}},
		"wait for nonsense":   {"/rebuilder wait -1", []notify.Asked{{Action: notify.Wait, For: day}}},
		"unknown":             {"/rebuilder delete", nil},
		"quoted":              {"> /rebuilder rebase", nil},
		"no more than ten":    {strings.Repeat("/rebuilder skip\n", 50), slicesOf(notify.Asked{Action: notify.Skip}, 10)},
		"not beyond the end":  {strings.Repeat("x\n", 1000) + "/rebuilder skip", nil},
		"very long is cut":    {strings.Repeat("x", 1<<20) + "\n/rebuilder skip", nil},
		"capitals of a verb":  {"/rebuilder Rebase", []notify.Asked{{Action: notify.Rebase}}},
		"verb without prefix": {"rebase", nil},
	} {
		if got := notify.Commands(c.comment); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func slicesOf(a notify.Asked, n int) (out []notify.Asked) {
	for range n {
		out = append(out, a)
	}
	return out
}

func TestBoxes(t *testing.T) {
	body := "Controls\r\n\r\n" + notify.Box(notify.Rebase, "", " Rebase now") + "\r\n" + notify.Box(notify.OpenNow, "acme/web:base/debian", " Open now") + "\r\n- [x] something else"
	if got := notify.Ticked(body); got != nil {
		t.Fatalf("nothing is ticked: %+v", got)
	}
	ticked := strings.ReplaceAll(body, "[ ]", "[x]")
	want := []notify.Asked{{Action: notify.Rebase}, {Action: notify.OpenNow, Line: "acme/web:base/debian"}}
	if got := notify.Ticked(ticked); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := notify.Untick(ticked); got != body {
		t.Errorf("unticked:\n%q\nwant\n%q", got, body)
	}
}

func TestLabels(t *testing.T) {
	for label, want := range map[string]notify.Action{"rebuilder:never": notify.Never, "rebuilder:take over": notify.TakeOver, "Rebuilder:Rebase": notify.Rebase, "never": "", "rebuilder:delete": ""} {
		got, ok := notify.Labelled(label)
		if ok != (want != "") || ok && got.Action != want {
			t.Errorf("%q: %+v %v", label, got, ok)
		}
	}
}

// Whatever strangers write asks for a bounded number of known things, and unticked text asks for nothing.
func FuzzControls(f *testing.F) {
	f.Add("/rebuilder wait 3d\n- [x] <!-- rebuilder:rebase -->")
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(notify.Commands(text)); n > 10 {
			t.Errorf("%d commands", n)
		}
		if n := len(notify.Ticked(text)); n > 10 {
			t.Errorf("%d boxes", n)
		}
		if got := notify.Ticked(notify.Untick(text)); got != nil {
			t.Errorf("unticked: %+v", got)
		}
	})
}
