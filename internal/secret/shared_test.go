package secret_test

import (
	"runtime"
	"testing"
	"weak"

	"rebuilder/internal/secret"
)

// One is enough for all, and none is kept for nobody.
func TestShared(t *testing.T) {
	a, err := secret.Shared()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := secret.Shared(); err != nil || a != b {
		t.Errorf("two in use at once: %v", err)
	}
	kept := weak.Make(a)
	runtime.KeepAlive(a)
	a = nil
	for range 10 {
		runtime.GC()
		if kept.Value() == nil {
			return
		}
	}
	t.Error("it is kept though nobody uses it")
}
