package githubspec

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed github.json.gz
var githubDescription []byte

//go:embed ghes.json.gz
var ghesDescription []byte

//go:embed next.json.gz
var nextDescription []byte

// webhooks are kept below this path, which no API has.
const webhooks = "/x-webhooks/"

// Spec is a description ready to judge by. It may be used by several goroutines.
type Spec struct {
	doc    *openapi3.T
	routes []route
}

// route is an operation's path as it is matched: whole segments, and more than one where GitHub allows slashes.
type route struct {
	template string
	pattern  *regexp.Regexp
	names    []string
	item     *openapi3.PathItem
}

var (
	loadGitHub = sync.OnceValues(func() (*Spec, error) { return load(githubDescription) })
	loadGHES   = sync.OnceValues(func() (*Spec, error) { return load(ghesDescription) })
	loadNext   = sync.OnceValues(func() (*Spec, error) { return load(nextDescription) })
)

// GitHub returns the description of github.com.
func GitHub() (*Spec, error) { return loadGitHub() }

// GHES returns the description of GitHub Enterprise Server 3.17.
func GHES() (*Spec, error) { return loadGHES() }

// NextVersion is the API's version that Next describes.
const NextVersion = "2026-03-10"

// Next returns the description of github.com as it will be from NextVersion on, made by the breaking changes that
// GitHub's description announces. An answer is only in this form where the request asks for it by X-GitHub-Api-Version.
func Next() (*Spec, error) { return loadNext() }

func load(packed []byte) (*Spec, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("githubspec: %w", err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("githubspec: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, fmt.Errorf("githubspec: %w", err)
	}
	if err := override(doc); err != nil {
		return nil, err
	}
	s := &Spec{doc: doc}
	for template, item := range doc.Paths.Map() {
		if !strings.HasPrefix(template, webhooks) {
			s.routes = append(s.routes, newRoute(template, item))
		}
	}
	// The longest template that fits is the right one: /commits/{ref}/status before /commits/{ref}.
	sort.Slice(s.routes, func(i, j int) bool { return len(s.routes[i].template) > len(s.routes[j].template) })
	return s, nil
}

var parameter = regexp.MustCompile(`\{([^}]+)\}`)

func newRoute(template string, item *openapi3.PathItem) route {
	r := route{template: template, item: item}
	slashes := multiSegment(item)
	var pattern strings.Builder
	rest := template
	for _, at := range parameter.FindAllStringSubmatch(template, -1) {
		before, after, _ := strings.Cut(rest, at[0])
		pattern.WriteString(regexp.QuoteMeta(before))
		if slashes[at[1]] {
			pattern.WriteString("(.+)")
		} else {
			pattern.WriteString("([^/]+)")
		}
		r.names, rest = append(r.names, at[1]), after
	}
	pattern.WriteString(regexp.QuoteMeta(rest))
	r.pattern = regexp.MustCompile("^" + pattern.String() + "$")
	return r
}

// multiSegment returns the path parameters that may have slashes.
func multiSegment(item *openapi3.PathItem) map[string]bool {
	names := map[string]bool{}
	for _, op := range item.Operations() {
		for _, p := range op.Parameters {
			if many, _ := p.Value.Extensions["x-multi-segment"].(bool); many && p.Value.In == openapi3.ParameterInPath {
				names[p.Value.Name] = true
			}
		}
	}
	return names
}

// find returns the route for an escaped path and the values of its parameters.
func (s *Spec) find(method, path string) (route, map[string]string, bool) {
	for _, r := range s.routes {
		values := r.pattern.FindStringSubmatch(path)
		if values == nil || r.item.GetOperation(method) == nil {
			continue
		}
		params := map[string]string{}
		for i, name := range r.names {
			value, err := url.PathUnescape(values[i+1])
			if err != nil {
				value = values[i+1]
			}
			params[name] = value
		}
		return r, params, true
	}
	return route{}, nil, false
}

// Operations lists what the description knows, as "GET /repos/{owner}/{repo}".
func (s *Spec) Operations() []string {
	var all []string
	for _, r := range s.routes {
		for method := range r.item.Operations() {
			all = append(all, method+" "+r.template)
		}
	}
	sort.Strings(all)
	return all
}
