package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxDelivery          = 25 << 20 // GitHub's own limit
	rememberedDeliveries = 4096
	deliveryPatience     = 20 * time.Second
)

// hints are the events after which it is worth looking. Nothing in them is believed: they say when to look, not what
// is there.
func hints(event string) bool {
	switch event {
	case "push", "pull_request", "package", "registry_package", "workflow_run", "check_suite", "check_run", "status", "repository", "release":
		return true
	}
	return false
}

// github takes a webhook: it is verified, answered at once, and makes the daemon look. A lost, doubled or late one
// changes nothing but when it looks.
func (s *Server) github(w http.ResponseWriter, r *http.Request) {
	if s.d.WebhookSecret == "" {
		s.fail(w, r, notFound("name the secret's environment variable in [forge] webhook_secret_env and set it", "webhooks are not taken: there is no secret"))
		return
	}
	// Not every writer can; then the server's own limits hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(deliveryPatience))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		s.fail(w, r, tooLarge(err))
		return
	}
	if !signed(s.d.WebhookSecret, r.Header.Get("X-Hub-Signature-256"), body) {
		s.fail(w, r, &Error{http.StatusUnauthorized, CodeDenied, "the signature does not match", "give the webhook the secret that the daemon has"})
		return
	}
	event, id := r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery")
	result := "ignored"
	switch {
	case !s.seen.first(id):
		result = "seen before"
	case hints(event):
		result = "looking"
		s.d.Loop.Wake()
	}
	s.d.Log.Debug("webhook", "event", event, "delivery", id, "result", result)
	writeJSON(w, http.StatusAccepted, map[string]string{"result": result})
}

func tooLarge(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &Error{http.StatusRequestEntityTooLarge, CodeBadRequest, err.Error(), ""}
	}
	return badRequest("", "the request's body: %v", err)
}

// signed says that the header is the body's HMAC-SHA256 with the secret, as GitHub writes it.
func signed(secret, header string, body []byte) bool {
	text, ok := strings.CutPrefix(header, "sha256=")
	given, err := hex.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

// deliveries remembers the last ids, and no more than that.
type deliveries struct {
	mu   sync.Mutex
	seen map[string]bool
	ring []string
	next int
}

func newDeliveries(n int) *deliveries {
	return &deliveries{seen: make(map[string]bool, n), ring: make([]string, n)}
}

// first says that an id was not seen before, and remembers it. A delivery without an id is always the first.
func (d *deliveries) first(id string) bool {
	const longest = 100
	if id == "" || len(id) > longest {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[id] {
		return false
	}
	delete(d.seen, d.ring[d.next])
	d.ring[d.next], d.seen[id] = id, true
	d.next = (d.next + 1) % len(d.ring)
	return true
}
