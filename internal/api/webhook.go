package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/catalog"
	"rebuilder/internal/store"
)

const (
	maxDelivery      = 25 << 20 // GitHub's own limit; nobody else's is larger
	deliveryPatience = 20 * time.Second
	dedupePatience   = 2 * time.Second // senders wait for ten
	longestDelivery  = 100             // characters of an id; a longer one is remembered by its hash
)

// hint is what is read of a delivery. Nothing in it is believed: it says when to look, not what is there.
type hint struct {
	event string   // for the log
	ids   []string // what it is known by, so that it is taken once; empty: by its body
	look  bool     // it is worth looking
}

// webhook takes a hint: who sent it is proven, it is answered at once, and it makes the daemon look. A lost, doubled or late
// one changes nothing but when it looks.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	hook, secret, err := s.hook(r.PathValue("name"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// Not every writer can; then the server's own limits hold.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(deliveryPatience))
	if !signs(hook.Kind) && !authorized(secret, r.Header.Get("Authorization")) {
		s.fail(w, r, unproven(hook.Kind)) // before a byte of the body is read
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		s.fail(w, r, tooLarge(err))
		return
	}
	if signs(hook.Kind) && !signed(secret, r.Header.Get("X-Hub-Signature-256"), body) {
		s.fail(w, r, unproven(hook.Kind))
		return
	}
	h := read(hook.Kind, r.Header, body)
	if hook.Kind == catalog.FromGitHub && s.hear(r.Context(), h.event, r.Header.Get("X-GitHub-Delivery"), body) {
		h.look = true
	}
	result := "ignored"
	switch {
	case !h.look:
	case !s.first(r.Context(), hook.Name, h, body):
		result = "seen before"
	default:
		result = "looking"
		s.d.Loop.Wake()
	}
	s.d.Log.Debug("webhook", "name", hook.Name, "event", h.event, "result", result)
	writeJSON(w, http.StatusAccepted, map[string]string{"result": result})
}

// hook returns what the catalog says of a webhook, and its secret.
func (s *Server) hook(name string) (catalog.Webhook, string, error) {
	const set = "set the variable or write the file that the catalog names for it"
	if name == "github" { // the forge's own
		if s.d.WebhookSecret == "" {
			return catalog.Webhook{}, "", notFound("name the secret's environment variable in [forge] webhook_secret_env and set it", "webhooks are not taken: there is no secret")
		}
		return catalog.Webhook{Name: name, Kind: catalog.FromGitHub}, s.d.WebhookSecret, nil
	}
	c := s.d.Loop.Last().Catalog
	if c == nil || s.d.Secret == nil {
		return catalog.Webhook{}, "", notFound("", "there is no webhook %q", name)
	}
	i := slices.IndexFunc(c.Webhooks, func(w catalog.Webhook) bool { return w.Name == name })
	if i < 0 {
		return catalog.Webhook{}, "", notFound("add a [[webhook]] of that name to the catalog", "there is no webhook %q", name)
	}
	secret, err := s.d.Secret(c.Webhooks[i])
	if err != nil || secret == "" {
		s.d.Log.Error("a webhook is not taken", "name", name, "line", c.Webhooks[i].Line, "error", err)
		return catalog.Webhook{}, "", &Error{http.StatusServiceUnavailable, CodeNotReady, "the daemon has no secret for it", set}
	}
	return c.Webhooks[i], secret, nil
}

// signs says that a sender signs what it sends; the others can only send the secret itself along.
func signs(k catalog.WebhookKind) bool { return k == catalog.FromGitHub || k == catalog.FromGHCR }

func unproven(k catalog.WebhookKind) *Error {
	if signs(k) {
		return &Error{http.StatusUnauthorized, CodeDenied, "the signature does not match", "give the webhook the secret that the daemon has"}
	}
	return &Error{http.StatusUnauthorized, CodeDenied, "the Authorization header does not hold the secret", "give the sender the secret that the daemon has, as Authorization: Bearer"}
}

// authorized says that a header holds the secret, by itself or as a bearer token. How long the answer takes says nothing of
// how much of it is right.
func authorized(secret, header string) bool {
	given := sha256.Sum256([]byte(strings.TrimPrefix(header, "Bearer ")))
	want := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1
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

// first says that a delivery was not taken before, by any replica, and remembers it. When that cannot be told it is: to look
// once more does no harm.
func (s *Server) first(ctx context.Context, webhook string, h hint, body []byte) bool {
	ids := slices.DeleteFunc(slices.Clone(h.ids), func(id string) bool { return id == "" })
	if len(ids) == 0 {
		ids = []string{hashed(string(body))}
	}
	for i, id := range ids {
		if len(id) > longestDelivery {
			ids[i] = hashed(id)
		}
	}
	slices.Sort(ids) // rows are touched in one order
	ctx, cancel := context.WithTimeout(ctx, dedupePatience)
	defer cancel()
	fresh := 0
	err := s.d.Store.Tx(ctx, func(ctx context.Context, q store.Querier) (err error) {
		fresh, err = store.FirstDelivery(ctx, q, webhook, s.d.Now().UnixMilli(), slices.Compact(ids)...)
		return err
	})
	if err != nil {
		s.d.Log.Warn("whether a webhook was taken before is not known", "name", webhook, "error", err)
	}
	return err != nil || fresh > 0
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func tooLarge(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &Error{http.StatusRequestEntityTooLarge, CodeBadRequest, err.Error(), ""}
	}
	return badRequest("", "the request's body: %v", err)
}
