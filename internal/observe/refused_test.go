package observe_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/observe"
)

// reads counts how often layers and configurations were fetched.
func (w *world) reads() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if strings.HasPrefix(r, "GET /v2/upstream/debian/blobs/") {
			n++
		}
	}
	w.requests = nil
	return n
}

func TestWhatCannotBeReadIsNotReadAtEachLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	digest := w.push(w.image(nil, files{"var/lib/dpkg/status": "Package: no\x00name\nStatus: install ok installed\nVersion: 1\n\n"}), "upstream/debian:12")
	w.push(w.image(nil, debian("libfoo 1.0")), "base/debian:stable")
	var said string
	look := func(after time.Duration, reads bool) {
		t.Helper()
		w.now = w.now.Add(after)
		w.reads()
		facts := w.look(c).Facts
		unknown := facts.Upstreams["upstream/debian"].Unknown
		if !strings.Contains(unknown, digest.String()) || said != "" && unknown != said {
			t.Errorf("%q is said, and was %q", unknown, said)
		}
		said = unknown
		if got := w.reads() > 0; got != reads {
			t.Errorf("%s later: read %t, want %t", after, got, reads)
		}
		if !facts.Bases["base/debian"].Exists() {
			t.Error("its neighbour was not looked at")
		}
	}
	look(0, true)
	look(time.Second, false)
	look(10*time.Minute, true)
	look(10*time.Minute, false)
	look(10*time.Minute, true)
	look(48*time.Hour, true) // and never more often than once a day
	for range 10 {
		w.now = w.now.Add(24 * time.Hour)
		w.look(c)
	}
	look(24*time.Hour, true)
	var refused *observe.Unreadable
	if _, err := w.obs.Inventory(t.Context(), "upstream/debian", w.host+"/upstream/debian@"+digest.String(), "linux/amd64"); !errors.As(err, &refused) || refused.Temporary() {
		t.Errorf("a rollout is told %v", err)
	}
}

func TestWhatCannotBeHadIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.twoBases()
	w.push(w.image(nil, debian("libfoo 1.0")), "upstream/debian:12")
	w.fail("/blobs/")
	if u := w.look(c).Facts.Upstreams["upstream/debian"]; u.Unknown == "" {
		t.Errorf("%+v", u)
	}
	w.fail("")
	if u := w.look(c).Facts.Upstreams["upstream/debian"]; u.Unknown != "" || !u.Exists() {
		t.Errorf("%+v", u)
	}
}
