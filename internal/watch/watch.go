// Package watch finds out what is new in the world outside: package repositories and upstream digests.
package watch

// Patch is a newer package available for an image from the repositories that the image itself uses.
type Patch struct {
	Package      string `json:"package"`
	Architecture string `json:"architecture"`
	Source       string `json:"source"`
	From         string `json:"from"`
	To           string `json:"to"`
	Repository   string `json:"repository"` // "http://host/debian bookworm main"
	Held         bool   `json:"held,omitempty"`
	// PublishedAt is the Date of the release file that first offered it to us, epoch milliseconds.
	PublishedAt int64 `json:"published_at"`
}
