package build

import (
	"testing"
	"time"
)

// FuzzScheduler: whatever happens, no worker has more builds than places, nobody waits while a place for them is free or
// for workers that are not expected back, and all are served in the end.
func FuzzScheduler(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 16, 24, 1, 2, 3, 9, 4, 20, 5, 13, 6, 7, 1, 1, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		now := time.Unix(0, 0)
		s := &Scheduler{now: func() time.Time { return now }}
		platforms := []string{"", "linux/amd64", "linux/arm64"}
		members := []*Member{
			s.Join(Worker{Name: "a", Platforms: platforms[1:2]}, Open),
			s.Join(Worker{Name: "b", Platforms: platforms[1:], Parallel: 3}, Open),
		}
		var tickets []*ticket
		running := map[*Member]int{}
		for _, op := range ops[:min(len(ops), 200)] {
			arg := int(op >> 3)
			m := members[arg%len(members)]
			switch op & 7 {
			case 0, 1, 2:
				w := Want{Platform: platforms[arg%3], Priority: time.Duration(arg) * time.Second, Affinity: platforms[arg%2]}
				if arg > 24 {
					w.Tried = []*Member{m}
				}
				tickets = append(tickets, s.enter(w))
			case 3, 4:
				if running[m] > 0 {
					running[m]--
					m.Release()
				}
			case 5:
				m.Set(m.worker, Standing(arg/len(members)%3))
			case 6:
				if len(tickets) > 0 {
					i := arg % len(tickets)
					s.withdraw(tickets[i])
					tickets = append(tickets[:i], tickets[i+1:]...)
				}
			case 7:
				now = now.Add(time.Duration(arg) * time.Minute)
			}
			tickets = collect(t, s, tickets, running)
		}
		for _, m := range members {
			m.Set(m.worker, Open)
		}
		for tickets = collect(t, s, tickets, running); len(tickets) > 0; tickets = collect(t, s, tickets, running) {
			before := len(tickets)
			for m, n := range running {
				for ; n > 0; n-- {
					running[m]--
					m.Release()
				}
			}
			if tickets = collect(t, s, tickets, running); len(tickets) == before {
				t.Fatalf("%d wait for ever", before)
			}
		}
	})
}

// collect takes away the tickets that were served and checks the rest.
func collect(t *testing.T, s *Scheduler, tickets []*ticket, running map[*Member]int) (left []*ticket) {
	t.Helper()
	for _, k := range tickets {
		switch {
		case !k.served():
			left = append(left, k)
		case k.got != nil:
			running[k.got]++
		}
	}
	if len(s.line) != len(left) {
		t.Fatalf("%d in the line, want %d", len(s.line), len(left))
	}
	for i, k := range s.line {
		if i > 0 && k.turn.Before(s.line[i-1].turn) {
			t.Fatal("the line is out of order")
		}
		some := false
		for _, m := range s.members {
			some = some || m.suits(k.want)
			if m.free() && m.suits(k.want) {
				t.Fatalf("one waits while %s is free", m.worker.Name)
			}
		}
		if !some {
			t.Fatal("one waits for nobody")
		}
	}
	for m, n := range running {
		if m.worker.InFlight != n || n > m.worker.parallel() {
			t.Fatalf("%s has %d builds in flight, %d places, %d were given", m.worker.Name, m.worker.InFlight, m.worker.parallel(), n)
		}
	}
	return left
}
