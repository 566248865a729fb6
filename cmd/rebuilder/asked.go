package main

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rebuilder/internal/api"
)

// what names an image: by its name, by a digest that was read, or by a reference, which the daemon reads from its registry.
type what struct {
	name     string
	platform string
}

func (w *what) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.platform, "platform", "", "of what is read from a registry (default linux/amd64)")
}

func (w *what) request() api.ScanRequest {
	return api.ScanRequest{Reference: w.name, Platform: w.platform}
}

// ask asks for what is known, which pulls nothing and needs no token, and only then to read it.
func ask[T any](platform string, names []string, known, read func() (T, error)) (T, error) {
	if platform == "" {
		answer, err := known()
		if !elsewhere(err, names) {
			return answer, err
		}
	}
	return read()
}

// elsewhere says that an error may be one only because something is to be read from its registry first.
func elsewhere(err error, names []string) bool {
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeNotFound && e.Code != api.CodeNotRead {
		return false
	}
	for _, name := range names {
		if isReference(name) {
			return true
		}
	}
	return false
}

// isReference tells an image's reference from a name: it has a tag, a digest, or a registry.
func isReference(s string) bool {
	first, rest, several := strings.Cut(s, "/")
	if !several {
		return strings.ContainsAny(first, ":@") && !strings.HasPrefix(first, "sha256:")
	}
	return strings.ContainsAny(first, ".:") || first == "localhost" || strings.ContainsAny(rest, ":@")
}

func (c *cli) sheet(cmd *cobra.Command, w what) (api.Sheet, error) {
	return ask(w.platform, []string{w.name}, func() (api.Sheet, error) { return c.client().Sheet(cmd.Context(), w.name) },
		func() (api.Sheet, error) { return c.client().Scan(cmd.Context(), w.request()) })
}

func (c *cli) difference(cmd *cobra.Command, q api.DiffRequest) (api.Difference, error) {
	return ask(q.Platform, []string{q.Before, q.After}, func() (api.Difference, error) { return c.client().Diff(cmd.Context(), q.Before, q.After) },
		func() (api.Difference, error) { return c.client().DiffAny(cmd.Context(), q) })
}

// export copies an image in another program's format to standard output. On a terminal it is made harmless; else it is what
// the daemon sent, to the byte.
func (c *cli) export(cmd *cobra.Command, w what, format string) error {
	body, err := ask(w.platform, []string{w.name}, func() (io.ReadCloser, error) { return c.client().Export(cmd.Context(), w.name, format) },
		func() (io.ReadCloser, error) {
			return c.client().ExportAny(cmd.Context(), api.ExportRequest{ScanRequest: w.request(), Format: format})
		})
	if err != nil {
		return err
	}
	defer body.Close()
	out := cmd.OutOrStdout()
	if terminalWidth(out) > 0 {
		return copyClean(out, body)
	}
	_, err = io.Copy(out, body)
	return err
}
