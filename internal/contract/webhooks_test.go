package contract

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/api"
	"rebuilder/internal/api/apitest"
)

// heard are the events of the recorded webhooks that make the daemon look, or do what a person asked for; what others say
// is acknowledged and ignored on purpose.
var heard = []string{"check_run", "check_suite", "package", "pull_request", "push", "release", "repository", "status", "workflow_run"}

// G4: what GitHub really sent is taken, whatever it is.
func TestG4RecordedWebhooks(t *testing.T) {
	var all []struct {
		Name     string
		Examples []json.RawMessage
	}
	unpack(t, "webhooks.json.gz", &all)
	daemon, err := apitest.New(t.Context(), t.TempDir(), apitest.Fix)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	daemon.Deps.WebhookSecret = hookSecret
	server := api.New(daemon.Deps).Handler()
	n, events := 0, []string{}
	for _, event := range all {
		for i, body := range event.Examples {
			n++
			result := deliver(t, server, event.Name, fmt.Sprintf("%s-%d", event.Name, i), body)
			if result == "looking" && !slices.Contains(events, event.Name) {
				events = append(events, event.Name)
			}
		}
	}
	if n < 329 {
		t.Errorf("%d webhooks: there were 329", n)
	}
	for _, event := range heard {
		if !slices.Contains(events, event) {
			t.Errorf("%s is ignored", event)
		}
	}
	// Whatever else is sent to it, the receiver stays up and says no more than it has to.
	for i, body := range []string{"", "null", "[]", `{"action":7}`, `{"ref":{}}`, strings.Repeat("[", 100_000), "\x00\xff"} {
		for _, event := range heard {
			deliver(t, server, event, fmt.Sprintf("odd-%s-%d", event, i), []byte(body))
		}
	}
}

func deliver(t *testing.T, server http.Handler, event, id string, body []byte) string {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write(body)
	r := httptest.NewRequest(http.MethodPost, "/webhooks/github", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-GitHub-Delivery", id)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, r)
	if answer.Code != http.StatusAccepted {
		t.Errorf("%s: %d: %.200s", id, answer.Code, answer.Body)
		return ""
	}
	var said struct{ Result string }
	if err := json.Unmarshal(answer.Body.Bytes(), &said); err != nil {
		t.Errorf("%s: %v", id, err)
	}
	return said.Result
}
