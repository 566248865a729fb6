package debrepo

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ServeHTTP serves dists/ and pool/ at the root, with ETag and Last-Modified, so that a conditional request for an
// unchanged file costs no body.
func (r *Repository) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	clean := path.Clean("/" + req.URL.Path)
	if !strings.HasPrefix(clean, "/dists/") && !strings.HasPrefix(clean, "/pool/") {
		http.NotFound(w, req)
		return
	}
	f, err := os.Open(filepath.Join(r.public(), filepath.FromSlash(clean)))
	if err != nil {
		http.NotFound(w, req)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	w.Header().Set("Content-Type", contentType(clean))
	http.ServeContent(w, req, "", info.ModTime(), f)
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".deb":
		return "application/vnd.debian.binary-package"
	case ".gz":
		return "application/gzip"
	}
	return "text/plain; charset=utf-8"
}
