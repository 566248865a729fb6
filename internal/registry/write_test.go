package registry

import (
	"slices"
	"strings"
	"testing"
)

func TestWriteMountsWhatIsThere(t *testing.T) {
	w := newWorld(t)
	c := newClient(t, Config{})
	w.push(t, "base:1", imageFor(t, "linux/amd64"))
	img, err := c.Image(t.Context(), w.host+"/base:1", "")
	if err != nil {
		t.Fatal(err)
	}
	w.seen()
	for range 2 {
		d, err := c.Write(t.Context(), w.host+"/app", img)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Digest(t.Context(), w.host+"/app@"+d.String()); err != nil || got != d {
			t.Errorf("it is %s, %v, want %s", got, err, d)
		}
		if i := slices.IndexFunc(w.seen(), func(r string) bool { return strings.HasPrefix(r, "GET") && strings.Contains(r, "/base/blobs/sha256:") }); i >= 0 {
			t.Error("a layer was fetched to be sent again")
		}
	}
	if tags, _, err := c.Tags(t.Context(), w.host+"/app", ""); err == nil && len(tags) > 0 {
		t.Errorf("tags %v, want none", tags)
	}
}
