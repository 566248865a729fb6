package announce

import (
	"fmt"
	"strings"

	"rebuilder/internal/store"
)

// waits says what most of the images wait for that do not wait for their parents; nothing when none has to.
func waits(f Facts) []string {
	counts, next := map[string]int{}, map[string]int64{}
	most, all := "", 0
	for _, n := range f.Nodes {
		if n.State != store.Waiting || n.Waiting > 0 || n.Reason == "" || strings.HasSuffix(n.Reason, "its turn comes next") {
			continue
		}
		all++
		counts[n.Reason]++
		if n.Next > 0 && (next[n.Reason] == 0 || n.Next < next[n.Reason]) {
			next[n.Reason] = n.Next
		}
		if most == "" || counts[n.Reason] > counts[most] || counts[n.Reason] == counts[most] && n.Reason < most {
			most = n.Reason
		}
	}
	if all == 0 {
		return nil
	}
	s := fmt.Sprintf("%d of %s wait: %s", all, count(len(f.Nodes), "image"), most)
	if counts[most] < all {
		s = fmt.Sprintf("%d of %s wait, %d of them: %s", all, count(len(f.Nodes), "image"), counts[most], most)
	}
	if at := next[most]; at > 0 {
		s += "; next " + clock(at, f.Now)
	}
	return []string{s}
}
