package judge_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
)

// desk takes documents and statements.
type desk struct {
	attached, attested []string
	predicate          map[string]string
}

func (d *desk) Attach(_ context.Context, _, artifactType string, _ map[string]string, _ []byte, _ string) (v1.Hash, error) {
	d.attached = append(d.attached, artifactType)
	return v1.Hash{}, nil
}

func (d *desk) Attest(_ context.Context, _, predicateType string, predicate []byte) error {
	d.attested = append(d.attested, predicateType)
	if d.predicate == nil {
		d.predicate = map[string]string{}
	}
	d.predicate[predicateType] = string(predicate)
	return nil
}

func documented(t *testing.T, d judge.Documents, provenance string) *desk {
	t.Helper()
	at := &desk{}
	if d.Registry = at; d.Attester != nil {
		d.Attester = at
	}
	d.Inventory = func(context.Context, string, string, string) (*inventory.Inventory, error) {
		return &inventory.Inventory{}, nil
	}
	digest := "sha256:" + strings.Repeat("0", 64)
	if err := d.Attach(t.Context(), catalog.Base{Name: "base/debian", Image: "registry.example.com/base/debian"}, digest, []byte(provenance)); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestDocuments(t *testing.T) {
	const provenance = `{"buildDefinition":{},"runDetails":{"builder":{"id":""},"metadata":{"invocationId":"x"}}}`
	unsigned := documented(t, judge.Documents{}, provenance)
	if got := strings.Join(unsigned.attached, " "); got != "application/vnd.cyclonedx+json application/spdx+json application/vnd.in-toto+json" || unsigned.attested != nil {
		t.Errorf("without a key: %s, %v", got, unsigned.attested)
	}
	signed := documented(t, judge.Documents{Attester: &desk{}, Builder: "https://rebuilder.example.com"}, provenance)
	if got := strings.Join(signed.attached, " "); got != "application/vnd.cyclonedx+json application/spdx+json" {
		t.Errorf("attached with a key: %s", got)
	}
	if got := strings.Join(signed.attested, " "); got != "https://cyclonedx.org/bom https://spdx.dev/Document https://slsa.dev/provenance/v1" {
		t.Errorf("attested: %s", got)
	}
	if got := documented(t, judge.Documents{Attester: &desk{}}, ""); len(got.attested) != 2 {
		t.Errorf("without provenance: %v", got.attested)
	}
}

func TestWhoMadeIt(t *testing.T) {
	for provenance, want := range map[string]string{
		`{"runDetails":{"builder":{"id":""},"metadata":{"a":1}}}`: "urn:us",
		`{"runDetails":{"builder":{"version":{"buildkit":"1"}}}}`: "urn:us",
		`{"runDetails":{}}`: "urn:us",
		`{"runDetails":null,"buildDefinition":{"b":[1]}}`: "urn:us",
		`{}`: "urn:us",
		`{"runDetails":{"builder":{"id":"urn:somebody"}}}`: "urn:somebody",
	} {
		got := documented(t, judge.Documents{Attester: &desk{}, Builder: "urn:us"}, provenance).predicate["https://slsa.dev/provenance/v1"]
		var p struct {
			RunDetails struct{ Builder struct{ ID string } }
		}
		if err := json.Unmarshal([]byte(got), &p); err != nil || p.RunDetails.Builder.ID != want {
			t.Errorf("%s became %s, %v", provenance, got, err)
		}
	}
}
