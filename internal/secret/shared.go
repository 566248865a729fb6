package secret

import (
	"sync"
	"weak"
)

var shared struct {
	sync.Mutex
	finder weak.Pointer[Finder]
}

// Shared returns the process's Finder. It is made when somebody needs it and gone when nobody does: its rules take some 14 MB,
// and images are read seldom.
func Shared() (*Finder, error) {
	shared.Lock()
	defer shared.Unlock()
	if f := shared.finder.Value(); f != nil {
		return f, nil
	}
	f, err := New()
	if err == nil {
		shared.finder = weak.Make(f)
	}
	return f, err
}
