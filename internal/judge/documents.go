package judge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/sbom"
)

// Attacher attaches a document to a digest, once.
type Attacher interface {
	Attach(ctx context.Context, subject, artifactType string, annotations map[string]string, body []byte, mediaType string) (v1.Hash, error)
}

// Attester signs a statement about a digest and attaches it, once.
type Attester interface {
	Attest(ctx context.Context, ref, predicateType string, predicate []byte) error
}

// Documents puts beside each digest what is inside, in CycloneDX and SPDX, and how it was made. It is safe to repeat: one
// version of this program makes the same documents of a digest.
type Documents struct {
	Registry  Attacher
	Inventory func(ctx context.Context, image, reference, platform string) (*inventory.Inventory, error)
	Version   string
	Builder   string   // what provenance calls the builder: a URI
	Attester  Attester // nil: nothing is signed
}

// How a digest was made is attached as an in-toto Statement whose predicate is SLSA provenance.
const (
	statementType  = "application/vnd.in-toto+json"
	provenanceType = "https://slsa.dev/provenance/v1"
)

// Attach attaches the documents of one digest. provenance is a SLSA v1 predicate; nil when it is not known. With an attester
// they are attested, too: the bills of materials stay readable for those who look for no signature.
func (d Documents) Attach(ctx context.Context, b catalog.Base, digest string, provenance []byte) error {
	ref := b.Image + "@" + digest
	inv, err := d.Inventory(ctx, b.Name, ref, b.Platform)
	if err != nil {
		return err
	}
	subject := sbom.Subject{Name: b.Image, Version: d.Version}
	for _, doc := range []struct {
		mediaType, predicateType string
		write                    func(*inventory.Inventory, sbom.Subject) ([]byte, error)
	}{{sbom.MediaTypeCycloneDX, "https://cyclonedx.org/bom", sbom.CycloneDX}, {sbom.MediaTypeSPDX, "https://spdx.dev/Document", sbom.SPDX}} {
		body, err := doc.write(inv, subject)
		if err != nil {
			return fmt.Errorf("bill of materials of %s: %w", ref, err)
		}
		if _, err := d.Registry.Attach(ctx, ref, doc.mediaType, nil, body, doc.mediaType); err != nil {
			return err
		}
		if d.Attester == nil {
			continue
		}
		if err := d.Attester.Attest(ctx, ref, doc.predicateType, body); err != nil {
			return err
		}
	}
	if len(provenance) == 0 {
		return nil
	}
	return d.provenance(ctx, b, digest, provenance)
}

func (d Documents) provenance(ctx context.Context, b catalog.Base, digest string, predicate []byte) error {
	ref := b.Image + "@" + digest
	predicate, err := madeBy(predicate, d.Builder)
	if err != nil {
		return fmt.Errorf("provenance of %s: %w", ref, err)
	}
	if d.Attester != nil {
		return d.Attester.Attest(ctx, ref, provenanceType, predicate)
	}
	body, err := statement(b.Image, digest, predicate)
	if err != nil {
		return fmt.Errorf("provenance of %s: %w", ref, err)
	}
	_, err = d.Registry.Attach(ctx, ref, statementType, map[string]string{"in-toto.io/predicate-type": provenanceType}, body, statementType)
	return err
}

// madeBy fills in who made it (runDetails.builder.id) where the builder did not say: BuildKit does not know whose it is.
func madeBy(predicate []byte, builder string) ([]byte, error) {
	if builder == "" {
		return predicate, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(predicate, &all); err != nil {
		return nil, err
	}
	var run map[string]json.RawMessage
	if err := unmarshal(all["runDetails"], &run); err != nil {
		return nil, fmt.Errorf("runDetails: %w", err)
	}
	var by map[string]any
	if err := unmarshal(run["builder"], &by); err != nil {
		return nil, fmt.Errorf("runDetails.builder: %w", err)
	}
	if id, _ := by["id"].(string); id != "" {
		return predicate, nil
	}
	by["id"] = builder
	var err error
	if run["builder"], err = json.Marshal(by); err != nil {
		return nil, err
	}
	if all["runDetails"], err = json.Marshal(run); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// unmarshal reads an object; what is not there, or null, is an empty one.
func unmarshal[V any](body json.RawMessage, into *map[string]V) error {
	if len(body) > 0 {
		if err := json.Unmarshal(body, into); err != nil {
			return err
		}
	}
	if *into == nil {
		*into = map[string]V{}
	}
	return nil
}

// statement is an in-toto Statement, version 1, with a predicate about an image.
func statement(name, digest string, predicate []byte) ([]byte, error) {
	type subject struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	}
	algorithm, hex, _ := strings.Cut(digest, ":")
	return json.Marshal(struct {
		Type          string          `json:"_type"`
		Subject       []subject       `json:"subject"`
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}{"https://in-toto.io/Statement/v1", []subject{{name, map[string]string{algorithm: hex}}}, provenanceType, predicate})
}
