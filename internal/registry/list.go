package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	catalogPage = 100  // names asked for at once; registries may give fewer, or more
	tagsPage    = 1000 // likewise
	maxCursor   = 2048 // bytes of what a registry says to ask for next
)

// ErrNoCatalog is what errors.Is finds when a registry does not list its repositories, or not to us: GHCR and Docker Hub
// list nobody's.
var ErrNoCatalog = errors.New("the registry lists no repositories")

// Repositories returns a page of the names of a registry's repositories ("team/web"), by one request, and the cursor that
// the next page is asked for with: "" before the first page and after the last. A cursor means something to this registry
// only; it may be kept for days. Names are as the registry sent them: they may be no names at all.
//
// errors.Is(err, ErrNoCatalog) when the registry has no such list.
func (c *Client) Repositories(ctx context.Context, registry, cursor string) (names []string, next string, err error) {
	host, err := c.registry(registry)
	if err != nil {
		return nil, "", err
	}
	what := "list the repositories of " + registry
	var page struct {
		Repositories []string `json:"repositories"`
	}
	next, err = c.page(ctx, host, "registry:catalog:*", "/v2/_catalog", catalogPage, cursor, &page)
	switch status(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnauthorized, http.StatusForbidden:
		if cursor == "" {
			return nil, "", fmt.Errorf("%s: %w: %w", what, ErrNoCatalog, err)
		}
	}
	return page.Repositories, next, explain("list the repositories of", registry, err)
}

// Tags returns a page of a repository's tags as Repositories does. Artifacts that tools keep beside images under tags of
// their own are among them.
//
// errors.Is(err, ErrNotFound) when there is no such repository.
func (c *Client) Tags(ctx context.Context, repo, cursor string) (tags []string, next string, err error) {
	r, err := c.reference(repo + ":latest")
	if err != nil {
		return nil, "", fmt.Errorf("list tags: %w", err)
	}
	var page struct {
		Tags []string `json:"tags"`
	}
	in := r.Context()
	next, err = c.page(ctx, in.Registry, in.Scope(transport.PullScope), "/v2/"+in.RepositoryStr()+"/tags/list", tagsPage, cursor, &page)
	return page.Tags, next, explain("list the tags of", repo, err)
}

func (c *Client) registry(host string) (name.Registry, error) {
	r, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil {
		return r, fmt.Errorf("registry %q: %w", host, err)
	}
	if !c.insecure[r.RegistryStr()] {
		return r, nil
	}
	return name.NewRegistry(host, name.Insecure)
}

// page asks for one page of a list and returns the cursor of the next one.
func (c *Client) page(ctx context.Context, host name.Registry, scope, path string, n int, cursor string, into any) (next string, err error) {
	query := cursor
	if query == "" {
		query = fmt.Sprintf("n=%d", n)
	}
	for again := true; ; again = false {
		next, err = c.pageOnce(ctx, host, scope, path, query, into)
		if !again || !refused(err) || !c.lists.forget(host, scope) {
			break // a login of our own that was refused is made anew once: those of cloud registries end
		}
	}
	if err == nil && next != "" && next == query {
		err = fmt.Errorf("page %q leads to itself", query)
	}
	return next, err
}

func (c *Client) pageOnce(ctx context.Context, host name.Registry, scope, path, query string, into any) (next string, err error) {
	t, err := c.lister(ctx, host, scope)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: host.Scheme(), Host: host.RegistryStr(), Path: path, RawQuery: query}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: t, CheckRedirect: sameHost}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return "", err
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil { // bounded by our transport
		return "", fmt.Errorf("the list is no JSON: %w", err)
	}
	return nextPage(resp.Header, path)
}

// sameHost keeps the credentials where they belong.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host {
		return fmt.Errorf("the list is redirected to %s", req.URL.Host)
	}
	return nil
}

// nextPage reads the query of the next page from the Link header, "" when there is none. The rest of the link is not
// followed: the list stays where it is, whatever a registry says.
func nextPage(h http.Header, at string) (string, error) {
	for _, link := range strings.Split(strings.Join(h.Values("Link"), ","), ",") {
		target, params, ok := strings.Cut(strings.TrimSpace(link), ">")
		if !ok || !strings.HasPrefix(target, "<") || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
			continue
		}
		u, err := url.Parse(target[1:])
		switch {
		case err != nil:
			return "", fmt.Errorf("the link to the next page: %w", err)
		case len(u.RawQuery) > maxCursor:
			return "", fmt.Errorf("the link to the next page has %d bytes, more than %d", len(u.RawQuery), maxCursor)
		case u.RawQuery == "" || path.Base(u.Path) != path.Base(at):
			return "", fmt.Errorf("the link to the next page, %q, is to no page of this list", target[1:])
		}
		return u.RawQuery, nil
	}
	return "", nil
}

// lister returns a transport that is logged in for a scope.
func (c *Client) lister(ctx context.Context, host name.Registry, scope string) (http.RoundTripper, error) {
	if t := c.lists.get(host, scope); t != nil {
		return t, nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, host)
	if err != nil {
		return nil, err
	}
	t, err := transport.NewWithContext(ctx, host, auth, transport.NewUserAgent(c.transport, "rebuilder"), []string{scope})
	if err != nil {
		return nil, err
	}
	if c.lists.put(host, scope, t) {
		// The library never forgets a repository that it was logged in to, and a walk sees many.
		return t, c.loginAgain()
	}
	return t, nil
}

// Passing says that an error may be gone the next time: the registry is away, has troubles of its own, or asks to come back
// later. Others stay as long as nobody changes something.
func (c *Client) Passing(err error) bool {
	switch s := status(err); {
	case s != 0:
		return busy(s)
	case errors.Is(err, ErrPlainHTTP), errors.Is(err, ErrNotFound):
		return false
	}
	var ne net.Error // url.Error among them: no answer came
	return errors.As(err, &ne) || passing(err)
}

// Limited says that a registry has answered with 429: we ask too much.
func (c *Client) Limited(err error) bool { return status(err) == http.StatusTooManyRequests }
