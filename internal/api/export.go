package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/export"
	"rebuilder/internal/judge"
	"rebuilder/internal/sbom"
)

// Formats of bills of materials; the others are those of internal/export.
const (
	SBOMCycloneDX = "sbom-cyclonedx"
	SBOMSPDX      = "sbom-spdx"
)

// Formats are all that an image can be exported in.
func Formats() []string { return append(export.Formats(), SBOMCycloneDX, SBOMSPDX) }

// ExportRequest asks for what is known of an image in another program's format.
type ExportRequest struct {
	ScanRequest
	Format string `json:"format"`
}

// document is a file as it is sent.
type document struct {
	name, mediaType string
	body            []byte
}

// documents answers with a file.
func (s *Server) documents(patience time.Duration, h func(r *http.Request) (document, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // as of answer
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		d, err := h(r.WithContext(ctx))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", d.mediaType)
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", d.name))
		w.Header().Set("Content-Length", strconv.Itoa(len(d.body)))
		_, _ = w.Write(d.body) // the client is gone: nobody to tell
	})
}

func (s *Server) getExport(r *http.Request) (document, error) {
	q := r.URL.Query()
	if err := known(q.Get("format")); err != nil {
		return document{}, err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return document{}, err
	}
	j, err := s.judged(r.Context(), v, q.Get("image"))
	if err != nil {
		return document{}, err
	}
	return s.export(v, j, q.Get("format"))
}

// postExport exports whatever is named, also what the catalog does not know.
func (s *Server) postExport(r *http.Request) (document, error) {
	var q ExportRequest
	if err := decode(r, &q); err != nil {
		return document{}, err
	}
	if err := known(q.Format); err != nil {
		return document{}, err
	}
	v, j, err := s.scanned(r.Context(), q.ScanRequest)
	if err != nil {
		return document{}, err
	}
	return s.export(v, j, q.Format)
}

func known(format string) error {
	if !slices.Contains(Formats(), format) {
		return badRequest("there are: "+strings.Join(Formats(), ", "), "format %q is not known", format)
	}
	return nil
}

func (s *Server) export(v *view, j *judge.Sheet, format string) (d document, err error) {
	d.name = fileName(j, format)
	subject := sbom.Subject{Name: repository(j.Reference), Version: s.d.Version}
	switch format {
	case SBOMCycloneDX:
		d.mediaType = sbom.MediaTypeCycloneDX
		d.body, err = sbom.CycloneDX(j.Inventory, subject)
	case SBOMSPDX:
		d.mediaType = sbom.MediaTypeSPDX
		d.body, err = sbom.SPDX(j.Inventory, subject)
	default:
		report := export.Report{Subject: j.Subject, Reference: j.Reference, At: j.At, Verdict: j.Verdict, Version: s.d.Version}
		report.Recipe, report.From = v.recipe(j.Subject.Image)
		d.body, d.mediaType, err = export.Write(format, report)
	}
	return d, err
}

// recipe is the Dockerfile of an image and the line of it that names what the image stands on, as far as it is known.
func (v *view) recipe(image string) (file string, line int) {
	chain := v.chain(image)
	if len(chain) == 0 {
		return "", 0
	}
	where := chain[0].Where
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return where, 0
	}
	line, err := strconv.Atoi(where[i+1:])
	if err != nil {
		return where, 0
	}
	return where[:i], line
}

var notOfFiles = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// fileName is what a browser calls it: "base-debian-6c776efb4bb5.sarif".
func fileName(j *judge.Sheet, format string) string {
	const most = 100
	stem := strings.Trim(notOfFiles.ReplaceAllString(j.Subject.Image, "-"), ".-")
	ending := map[string]string{export.SARIF: ".sarif", export.CSV: ".csv", export.OpenVEX: ".openvex.json", export.CycloneDX: ".findings.cdx.json", SBOMCycloneDX: ".cdx.json", SBOMSPDX: ".spdx.json"}[format]
	return stem[:min(len(stem), most)] + "-" + Short(j.Subject.Digest) + ending
}

// Export returns what is known of an image by its name, or of a digest that was read, in a format of Formats; it is to be
// closed.
func (c *Client) Export(ctx context.Context, image, format string) (io.ReadCloser, error) {
	return c.document(ctx, http.MethodGet, nil, url.Values{"image": {image}, "format": {format}})
}

// ExportAny is Export of whatever is named. The daemon may pull the image for it: it needs the token.
func (c *Client) ExportAny(ctx context.Context, q ExportRequest) (io.ReadCloser, error) {
	return c.document(ctx, http.MethodPost, q, nil)
}

func (c *Client) document(ctx context.Context, method string, body any, q url.Values) (io.ReadCloser, error) {
	resp, err := c.send(ctx, method, body, q, []string{"export"})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
