package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := launch(log, []string{"WORD=hello"}, "sh", "-c", `echo $WORD; sleep 1000 & echo started; wait`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop() })
	for b := []byte(nil); string(b) != "hello\nstarted\n"; time.Sleep(time.Millisecond) {
		if b, err = os.ReadFile(log); err != nil {
			t.Fatal(err)
		}
	}
	below, err := descendants(os.Getpid())
	if err != nil || !slices.Contains(below, p.pid()) {
		t.Errorf("%d is not among our descendants %v, %v", p.pid(), below, err)
	}
	own, err := descendants(p.pid())
	if err != nil || len(own) != 1 || !slices.Contains(below, own[0]) {
		t.Errorf("descendants of the process: %v, %v", own, err)
	}
	m, err := memoryOf(p.pid())
	if err != nil || m.resident <= 0 || m.files <= 0 || m.files > m.resident || m.peak < m.resident {
		t.Errorf("%+v, %v", m, err)
	}
	for range 2 {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}
	if _, err := memoryOf(p.pid()); err == nil {
		t.Error("the process is still there")
	}
	for _, pid := range own { // its own child is none of ours to stop, but not to be left behind by a test either
		if c, err := os.FindProcess(pid); err == nil {
			_ = c.Kill()
		}
	}
}

func TestLaunchOfNothing(t *testing.T) {
	if _, err := launch(filepath.Join(t.TempDir(), "log"), nil, "/does/not/exist"); err == nil {
		t.Error("no error")
	}
}

func TestStatTime(t *testing.T) {
	const stat = "1234 (a ) (b) S 1 1234 1234 0 -1 4194560 5 6 7 8 250 75 0 0 20 0 9 0 1"
	if got, err := statTime(stat); err != nil || got != 3250*time.Millisecond {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "1 (a) S 1 2", "1 (a) S 1 2 3 4 5 6 7 8 9 10 x y"} {
		if _, err := statTime(bad); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

func TestStatusField(t *testing.T) {
	const status = "Name:\tVmRSS:\nVmPeak:\t 9 kB\nVmHWM:\t  30 kB\nVmRSS:\t   20 kB\n"
	if got, err := statusField([]byte(status), "VmRSS"); err != nil || got != 20<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := statusField([]byte(status), "VmSwap"); err == nil {
		t.Error("a field that is missing is no error")
	}
}
