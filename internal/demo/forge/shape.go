package forge

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The shape files turn what git and the state know into GitHub's JSON documents.

// object is a document of mostly constant members, such as a repository's; others are structs.
type object map[string]any

func (o object) with(more object) object {
	for key, value := range more {
		o[key] = value
	}
	return o
}

// api returns a URL below the API's root.
func (f *Forge) api(path string) string { return f.cfg.BaseURL + "/api/v3" + path }

// repoAPI returns a URL below the repository in the API.
func (f *Forge) repoAPI(r *repository, format string, args ...any) string {
	return f.api("/repos/" + r.Owner + "/" + r.Name + fmt.Sprintf(format, args...))
}

// repoWeb returns a URL below the repository as people see it.
func (f *Forge) repoWeb(r *repository, format string, args ...any) string {
	return f.cfg.BaseURL + "/" + r.Owner + "/" + r.Name + fmt.Sprintf(format, args...)
}

// nodeID makes an opaque identifier.
func nodeID(kind string, id any) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%v", kind, id))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func stampOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

// orNull makes an empty text null, as GitHub stores it.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// escapePath escapes each segment of a path.
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
