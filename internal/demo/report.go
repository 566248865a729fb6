package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Report is what one run of the demo's loop showed; demo-report.json is its JSON form.
type Report struct {
	PublishedAt  time.Time     `json:"published_at"`
	NoticedAt    time.Time     `json:"noticed_at"`
	Images       []ReportImage `json:"images"` // bases in the order they were built, then applications
	PullRequests int           `json:"pull_requests"`
	Dispatches   int           `json:"dispatches"`
	SetupSeconds float64       `json:"setup_seconds"`
	LoopSeconds  float64       `json:"loop_seconds"` // publication to last application proven
}

// ReportImage is what happened to one image.
type ReportImage struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"` // "base" or "application"
	OldDigest string `json:"old_digest"`
	NewDigest string `json:"new_digest"`
	Package   string `json:"package"`
	From      string `json:"from"`
	To        string `json:"to"`
	// Proven: a base has the patched package in its inventory, an application has the patched base's layers.
	Proven  bool    `json:"proven"`
	Seconds float64 `json:"seconds"` // since publication
}

// Proven says whether there is an image and all of them are proven.
func (r Report) Proven() bool {
	for _, i := range r.Images {
		if !i.Proven {
			return false
		}
	}
	return len(r.Images) > 0
}

// WriteReport writes r as indented JSON to path; a reader sees the old file or the new one, never a part.
func WriteReport(path string, r Report) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// writeFile replaces path in one step.
func writeFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
