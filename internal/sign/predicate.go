package sign

// The predicate types that are attested. Verdict and promotion are this project's own, described in docs/signing.md.
const (
	CycloneDXType  = "https://cyclonedx.org/bom"
	SPDXType       = "https://spdx.dev/Document"
	ProvenanceType = "https://slsa.dev/provenance/v1"
	VerdictType    = "urn:rebuilder:verdict:v1"
	PromotionType  = "urn:rebuilder:promotion:v1"
)
