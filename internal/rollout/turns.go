package rollout

import "sync"

// turns lets one at a time do what has the same name.
type turns struct {
	mu   sync.Mutex
	busy map[string]*turn
}

type turn struct {
	mu      sync.Mutex
	holders int // with those that wait
}

// lock waits for its turn. The caller gives it back with unlock.
func (t *turns) lock(name string) (unlock func()) {
	t.mu.Lock()
	if t.busy == nil {
		t.busy = map[string]*turn{}
	}
	one := t.busy[name]
	if one == nil {
		one = new(turn)
		t.busy[name] = one
	}
	one.holders++
	t.mu.Unlock()
	one.mu.Lock()
	return func() {
		one.mu.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.holders--; one.holders == 0 {
			delete(t.busy, name)
		}
	}
}
