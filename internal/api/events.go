package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"rebuilder/internal/store"
)

const (
	eventEvery = time.Second
	keepAlive  = 15 // silent rounds until a comment is sent, so that proxies keep the connection
)

// Changed is what an event of /api/v1/events says: enough to know whether to ask again.
type Changed struct {
	AsOf time.Time `json:"as_of,omitzero"` // of the last look
	Last string    `json:"last,omitempty"` // id of the newest line of the audit log
}

// events sends the present state at once and then whenever it changed. A client that comes back needs no history: the
// first event tells it whether it missed something.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	var last Changed
	for round, silent := 0, 0; ; round, silent = round+1, silent+1 {
		now, err := s.changed(r.Context())
		if err != nil {
			return // the client comes back by itself
		}
		switch {
		case round == 0 || now != last:
			body, _ := json.Marshal(now) // a time and a string: cannot fail
			fmt.Fprintf(w, "id: %s\nevent: changed\ndata: %s\n\n", now.Last, body)
			last, silent = now, 0
		case silent == keepAlive:
			fmt.Fprint(w, ": still here\n\n")
			silent = 0
		}
		if out.Flush() != nil || sleep(r.Context(), eventEvery) != nil {
			return
		}
	}
}

func (s *Server) changed(ctx context.Context) (Changed, error) {
	c := Changed{AsOf: utc(s.d.Loop.Last().At)}
	events, err := store.AuditLog(ctx, s.d.Store.Q(), store.AuditFilter{Limit: 1})
	if len(events) > 0 {
		c.Last = events[0].ID
	}
	return c, err
}
