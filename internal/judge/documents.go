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

// Documents puts beside each digest what is inside, in CycloneDX and SPDX, and how it was made. It is safe to repeat: one
// version of this program makes the same documents of a digest.
type Documents struct {
	Registry  Attacher
	Inventory func(ctx context.Context, image, reference, platform string) (*inventory.Inventory, error)
	Version   string
}

// How a digest was made is attached as an in-toto Statement whose predicate is SLSA provenance.
const (
	statementType = "application/vnd.in-toto+json"
	predicateType = "https://slsa.dev/provenance/v1"
)

// Attach attaches the documents of one digest. provenance is a SLSA v1 predicate; nil when it is not known.
func (d Documents) Attach(ctx context.Context, b catalog.Base, digest string, provenance []byte) error {
	ref := b.Image + "@" + digest
	inv, err := d.Inventory(ctx, b.Name, ref, b.Platform)
	if err != nil {
		return err
	}
	subject := sbom.Subject{Name: b.Image, Version: d.Version}
	for _, doc := range []struct {
		mediaType string
		write     func(*inventory.Inventory, sbom.Subject) ([]byte, error)
	}{{sbom.MediaTypeCycloneDX, sbom.CycloneDX}, {sbom.MediaTypeSPDX, sbom.SPDX}} {
		body, err := doc.write(inv, subject)
		if err != nil {
			return fmt.Errorf("bill of materials of %s: %w", ref, err)
		}
		if _, err := d.Registry.Attach(ctx, ref, doc.mediaType, nil, body, doc.mediaType); err != nil {
			return err
		}
	}
	if len(provenance) == 0 {
		return nil
	}
	body, err := statement(b.Image, digest, provenance)
	if err != nil {
		return fmt.Errorf("provenance of %s: %w", ref, err)
	}
	_, err = d.Registry.Attach(ctx, ref, statementType, map[string]string{"in-toto.io/predicate-type": predicateType}, body, statementType)
	return err
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
	}{"https://in-toto.io/Statement/v1", []subject{{name, map[string]string{algorithm: hex}}}, predicateType, predicate})
}
