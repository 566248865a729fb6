package registry

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Copied is what a copy took.
type Copied struct {
	Manifests int   // that were written
	Mounted   int   // blobs that the registry took over by itself
	Bytes     int64 // of blobs that went through here
}

const maxCopied = 1024 // manifests of one copy

// companionSuffixes are those of the tags in which cosign keeps what belongs to a digest.
var companionSuffixes = []string{".sig", ".att", ".sbom"}

// Whole says that a digest and, when it is an index, all manifests that it names are in a repository: registries take an index
// without them. errors.Is(err, ErrNotFound) when one is missing.
func (c *Client) Whole(ctx context.Context, repo string, digest v1.Hash) error {
	ref := repo + "@" + digest.String()
	r, err := c.reference(ref)
	if err != nil {
		return err
	}
	d, err := c.get(ctx, r)
	if err != nil {
		return explain("look up", ref, err)
	}
	children, err := childrenOf(d)
	if err != nil {
		return explain("read", ref, err)
	}
	for _, child := range children {
		at := digestOf(r, child.Digest)
		if _, err := c.head(ctx, at); status(err) == http.StatusNotFound {
			return &NotFound{Reference: at.String(), Why: "the index " + digest.String() + " names it; push the index again with all its images", Cause: err}
		} else if err != nil {
			return explain("look up", at.String(), err)
		}
	}
	return nil
}

// childrenOf are the manifests that an index names; none when it is no index.
func childrenOf(d *remote.Descriptor) ([]v1.Descriptor, error) {
	if !d.MediaType.IsIndex() {
		return nil, nil
	}
	idx, err := d.ImageIndex()
	if err != nil {
		return nil, err
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(m.Manifests) > maxCopied {
		return nil, fmt.Errorf("it names %d manifests, more than %d", len(m.Manifests), maxCopied)
	}
	return m.Manifests, nil
}

// Copy is Transfer for those who do not ask what it took.
func (c *Client) Copy(ctx context.Context, from string, digest v1.Hash, to string) error {
	_, err := c.Transfer(ctx, from, digest, to)
	return err
}

// Transfer puts a manifest or an index into another repository, by digest, with everything that it names and everything that refers
// to it or to its images: signatures, attestations, bills of materials, as referrers or below cosign's tags. It itself comes
// last. Inside one registry no blob is read or written: it is told to mount them. What is there already is left as it is, so it
// is safe to repeat.
//
// errors.Is(err, ErrNotFound) when the digest, or anything that it names, is not in from.
func (c *Client) Transfer(ctx context.Context, from string, digest v1.Hash, to string) (Copied, error) {
	ref := from + "@" + digest.String()
	source, err := c.reference(ref)
	if err != nil {
		return Copied{}, err
	}
	target, err := c.reference(to + "@" + digest.String())
	if err != nil {
		return Copied{}, err
	}
	cp := &copier{c: c, from: source.Context(), to: target.Context(), seen: map[v1.Hash]bool{}}
	if err := cp.begin(ctx, target); err != nil {
		return Copied{}, explain("copy "+ref+" to", to, err)
	}
	err = cp.manifest(ctx, digest, 0)
	return cp.done, explain("copy "+ref+" to", to, err)
}

// copier is one copy.
type copier struct {
	c        *Client
	from, to name.Repository
	there    bool            // the root is there: most of it may be
	tags     map[string]bool // of the source; nil: not all are known
	seen     map[v1.Hash]bool
	done     Copied
}

func (cp *copier) begin(ctx context.Context, root name.Reference) error {
	_, err := cp.c.head(ctx, root)
	if err != nil && status(err) != http.StatusNotFound {
		return err
	}
	cp.there = err == nil
	tags, next, err := cp.c.Tags(ctx, cp.from.Name(), "")
	if err != nil || next != "" {
		return ctx.Err() // who may read an image may not always list, and not all are listed at once: each companion is asked for
	}
	cp.tags = map[string]bool{}
	for _, t := range tags {
		cp.tags[t] = true
	}
	return nil
}

const maxDepth = 3 // of referrers of referrers

// manifest copies a manifest: first what it names, then what refers to it, then itself.
func (cp *copier) manifest(ctx context.Context, h v1.Hash, depth int) error {
	if cp.seen[h] {
		return nil
	}
	if cp.seen[h] = true; len(cp.seen) > maxCopied {
		return fmt.Errorf("more than %d manifests and blobs belong to it", maxCopied)
	}
	d, err := cp.c.get(ctx, cp.from.Digest(h.String()))
	if err != nil {
		return err
	}
	children, err := childrenOf(d)
	if err != nil {
		return fmt.Errorf("index %s: %w", h, err)
	}
	for _, child := range children {
		if err := cp.manifest(ctx, child.Digest, depth); err != nil {
			return err
		}
	}
	if depth < maxDepth {
		if err := cp.attached(ctx, h, depth); err != nil {
			return err
		}
	}
	return cp.put(ctx, d, cp.to.Digest(h.String()))
}

// attached copies what refers to a digest.
func (cp *copier) attached(ctx context.Context, h v1.Hash, depth int) error {
	all, err := cp.c.referrers(ctx, cp.from.Digest(h.String()))
	if err != nil {
		return err
	}
	for _, r := range all[:min(len(all), maxReferrers)] {
		if err := cp.manifest(ctx, r.Digest, depth+1); err != nil && status(err) != http.StatusNotFound {
			return err
		}
	}
	for _, suffix := range companionSuffixes {
		if err := cp.companion(ctx, companionTag(cp.from.Digest(h.String()), suffix)); err != nil {
			return err
		}
	}
	return nil
}

// companion copies what is below a tag of cosign's. A tag that is there already is not overwritten: others may sign there.
func (cp *copier) companion(ctx context.Context, from name.Tag) error {
	if cp.tags != nil && !cp.tags[from.TagStr()] {
		return nil
	}
	d, err := cp.c.get(ctx, from)
	if status(err) == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	to := cp.to.Tag(from.TagStr())
	if was, err := cp.c.head(ctx, to); err == nil && was.Digest != d.Digest {
		return cp.merge(ctx, from, to)
	} else if err != nil && status(err) != http.StatusNotFound {
		return err
	}
	return cp.put(ctx, d, to)
}

// put writes a manifest after its blobs.
func (cp *copier) put(ctx context.Context, d *remote.Descriptor, to name.Reference) error {
	if cp.there {
		if was, err := cp.c.head(ctx, to); err == nil && was.Digest == d.Digest {
			return nil
		}
	}
	if d.MediaType.IsImage() {
		if err := cp.blobs(ctx, d); err != nil {
			return err
		}
	}
	err := cp.c.do(func(_ *remote.Puller, p *remote.Pusher) error { return p.Put(ctx, to, d) })
	if err == nil {
		cp.done.Manifests++
	}
	return err
}

func (cp *copier) blobs(ctx context.Context, d *remote.Descriptor) error {
	img, err := checkedImage(d)
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, b := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if cp.seen[b.Digest] || !b.MediaType.IsDistributable() && len(b.URLs) > 0 {
			continue
		}
		cp.seen[b.Digest] = true
		if err := cp.blob(ctx, b); err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	return nil
}

func (cp *copier) blob(ctx context.Context, d v1.Descriptor) error {
	if cp.from.RegistryStr() == cp.to.RegistryStr() {
		mounted, err := cp.mount(ctx, d.Digest)
		if mounted {
			cp.done.Mounted++
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
	return cp.c.do(func(p *remote.Puller, w *remote.Pusher) error {
		l, err := p.Layer(ctx, cp.from.Digest(d.Digest.String()))
		if err != nil {
			return err
		}
		return w.Upload(ctx, cp.to, &counted{Layer: l, size: d.Size, mediaType: d.MediaType, read: &cp.done.Bytes})
	})
}

// mount asks the registry to take a blob over from the other repository. That is one request; looking first would be one more.
func (cp *copier) mount(ctx context.Context, h v1.Hash) (bool, error) {
	t, err := cp.c.mounter(ctx, cp.from, cp.to)
	if err != nil {
		return false, err
	}
	u := url.URL{Scheme: cp.to.Scheme(), Host: cp.to.RegistryStr(), Path: "/v2/" + cp.to.RepositoryStr() + "/blobs/uploads/",
		RawQuery: url.Values{"mount": {h.String()}, "from": {cp.from.RepositoryStr()}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := (&http.Client{Transport: t, CheckRedirect: sameHost}).Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode == http.StatusCreated, transport.CheckError(resp, http.StatusCreated, http.StatusAccepted)
}

// mounter returns a transport that may read from one repository and write to another.
func (c *Client) mounter(ctx context.Context, from, to name.Repository) (http.RoundTripper, error) {
	scopes := []string{to.Scope(transport.PushScope), from.Scope(transport.PullScope)}
	key := strings.Join(scopes, " ")
	if t := c.lists.get(to.Registry, key); t != nil {
		return t, nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, to)
	if err != nil {
		return nil, err
	}
	t, err := transport.NewWithContext(ctx, to.Registry, auth, transport.NewUserAgent(c.transport, "rebuilder"), scopes)
	if err == nil {
		c.lists.put(to.Registry, key, t)
	}
	return t, err
}

// merge adds the layers of one companion to another: signatures of several people are below one tag.
func (cp *copier) merge(ctx context.Context, from, to name.Tag) error {
	ours, err := cp.c.companion(ctx, from)
	if err != nil {
		return err
	}
	theirs, err := cp.c.companion(ctx, to)
	if err != nil {
		return err
	}
	there, err := theirs.Manifest()
	if err != nil {
		return err
	}
	m, err := ours.Manifest()
	if err != nil {
		return err
	}
	for _, l := range m.Layers {
		if slices.ContainsFunc(there.Layers, func(o v1.Descriptor) bool {
			return o.Digest == l.Digest && maps.Equal(o.Annotations, l.Annotations)
		}) {
			continue
		}
		body, err := cp.c.document(ctx, cp.from.Digest(l.Digest.String()), min(l.Size, maxBlob))
		if err != nil {
			return err
		}
		if err := cp.c.addToCompanion(ctx, to, addendum(body, string(l.MediaType), l.Annotations)); err != nil {
			return err
		}
	}
	return nil
}

// counted is a layer that counts what is read of it.
type counted struct {
	v1.Layer
	size      int64
	mediaType types.MediaType
	read      *int64
}

func (l *counted) Size() (int64, error)                { return l.size, nil }
func (l *counted) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l *counted) Compressed() (io.ReadCloser, error) {
	r, err := l.Layer.Compressed()
	return &countedBody{r, l.read}, err
}

type countedBody struct {
	io.ReadCloser
	read *int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	*b.read += int64(n)
	return n, err
}
