package buildkit

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestReaper(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	ended := func() bool { return slices.Contains(zombies(os.Getpid()), pid) }
	for deadline := time.Now().Add(30 * time.Second); !ended(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process does not end")
		}
	}
	r := reaper{parent: os.Getpid()}
	r.reap()
	if !ended() {
		t.Error("collected at first sight; somebody may be about to wait for it")
	}
	r.reap()
	if ended() {
		t.Error("not collected at second sight")
	}
}
