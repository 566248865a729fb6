package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"rebuilder/internal/catalog"
)

// read says what a delivery of a kind hints at. What is not understood hints at nothing: senders have more events than we
// know, and must not be told to try again.
func read(k catalog.WebhookKind, h http.Header, body []byte) hint {
	switch k {
	case catalog.FromRegistry:
		return readRegistry(body)
	case catalog.FromHarbor:
		return readHarbor(h, body)
	case catalog.FromGHCR:
		return readGitHub(h, "package", "registry_package")
	case catalog.FromGitHub:
		return readGitHub(h, "push", "pull_request", "package", "registry_package", "workflow_run", "check_suite", "check_run", "status", "repository", "release")
	}
	return hint{}
}

// readGitHub reads the headers alone: which event it is is all that matters.
func readGitHub(h http.Header, events ...string) hint {
	event := h.Get("X-GitHub-Event")
	return hint{event: event, ids: []string{h.Get("X-GitHub-Delivery")}, look: slices.Contains(events, event)}
}

// maxEvents bounds how many events of one envelope are remembered; one with more is worth a look in any case.
const maxEvents = 100

// readRegistry reads the envelope of a distribution registry's notifications. What was pulled is no news: the daemon pulls,
// too. https://distribution.github.io/distribution/about/notifications/
func readRegistry(body []byte) hint {
	var envelope struct {
		Events []struct {
			ID     string `json:"id"`
			Action string `json:"action"`
		} `json:"events"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return hint{event: "not understood"}
	}
	out := hint{event: "notification"}
	for _, e := range envelope.Events {
		if e.Action != "push" && e.Action != "delete" {
			continue
		}
		if out.look, out.event = true, e.Action; len(out.ids) < maxEvents {
			out.ids = append(out.ids, e.ID)
		}
	}
	return out
}

// readHarbor reads Harbor's own form and its CloudEvents. Its own has no id; the time in it makes the body unlike any other.
// https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
func readHarbor(h http.Header, body []byte) hint {
	var payload struct {
		Type string `json:"type"`
		ID   string `json:"id"` // CloudEvents
	}
	if json.Unmarshal(body, &payload) != nil {
		return hint{event: "not understood"}
	}
	if t := h.Get("Ce-Type"); t != "" { // CloudEvents whose attributes are headers
		payload.Type, payload.ID = t, h.Get("Ce-Id")
	}
	events := []string{"PUSH_ARTIFACT", "DELETE_ARTIFACT", "REPLICATION", "TAG_RETENTION",
		"harbor.artifact.pushed", "harbor.artifact.deleted", "harbor.replication.status.changed", "harbor.tag_retention.finished"}
	return hint{event: payload.Type, ids: []string{payload.ID}, look: slices.Contains(events, payload.Type)}
}
