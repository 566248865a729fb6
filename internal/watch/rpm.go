package watch

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"rebuilder/internal/inventory"
)

const (
	maxRepomd     = 4 << 20 // bytes of repomd.xml
	maxRepomdSign = 1 << 20 // bytes of its signature
	maxMirrorList = 4 << 20 // bytes of a metalink or mirror list
	triedMirrors  = 5       // of one list, in one look
)

// rpmFamily is the family of dnf, yum and tdnf: repomd.xml names the lists of packages and of modules, and may be signed.
type rpmFamily struct{}

// ask asks the repository itself, or the mirror that served before; for the list of mirrors only where there is none, or
// where it fails. A metalink is asked each time: it says by its hash whether anything changed.
func (rpmFamily) ask(ctx context.Context, w *Watcher, repo inventory.Repository, before known) ([]byte, validators, error) {
	if strings.Contains(repo.URI+repo.Mirrors, "$") {
		return nil, before.validators, fmt.Errorf("%s: [%s] has a variable that nothing in the image defines: it cannot be watched", repo.Where, repo.ID)
	}
	q := rpmQuestion{w, repo, before}
	if repo.URI != "" {
		raw, v, err := q.from(ctx, repo.URI, nil)
		if err == nil || repo.Mirrors == "" || ctx.Err() != nil {
			return raw, v, err
		}
	}
	if repo.Metalink {
		return q.byMetalink(ctx)
	}
	return q.byMirrorList(ctx)
}

// rpmQuestion is one look at one repository.
type rpmQuestion struct {
	w      *Watcher
	repo   inventory.Repository
	before known
}

// from asks one server for the head, conditionally when it is the one that served before. want are the sums that a
// metalink promises, nil without one.
func (q rpmQuestion) from(ctx context.Context, root string, want *metalinkFile) ([]byte, validators, error) {
	v := q.before.validators
	if v.Root != root || want != nil {
		v = validators{Root: root, Sum: v.Sum}
	}
	u, err := rpmURL(q.repo, root, "repodata/repomd.xml")
	if err != nil {
		return nil, v, err
	}
	repomd, now, err := q.w.fetch(ctx, u, v, maxRepomd)
	if err != nil || repomd == nil {
		now.Sum = v.Sum
		return nil, now, err
	}
	now.Sum = sumOf(repomd)
	if err := want.check(repomd); err != nil {
		return nil, v, fmt.Errorf("GET %s: %w", shownURL(u), err)
	}
	if now.Sum == v.Sum && q.before.sum != "" {
		return nil, now, nil
	}
	sign, err := q.signature(ctx, root)
	if err != nil {
		return nil, v, err
	}
	return joinRepomd(repomd, sign), now, nil
}

// signature fetches the head's, nil when there is none. Where neither the image asks for it nor has a key to judge it by,
// it is not looked at.
func (q rpmQuestion) signature(ctx context.Context, root string) ([]byte, error) {
	if q.repo.Unsigned && len(q.repo.Keys) == 0 {
		return nil, nil
	}
	u, err := rpmURL(q.repo, root, "repodata/repomd.xml.asc")
	if err != nil {
		return nil, err
	}
	sign, _, err := q.w.fetch(ctx, u, validators{}, maxRepomdSign)
	if errors.Is(err, errMissing) {
		return nil, nil
	}
	return sign, err
}

// byMetalink asks the metalink, and then the mirrors in its order until one has what it promises.
func (q rpmQuestion) byMetalink(ctx context.Context) ([]byte, validators, error) {
	v := q.before.validators
	if v.Root == q.repo.URI { // they are of the repository's own repomd.xml
		v = validators{}
	}
	raw, asked, err := q.list(ctx, v)
	if err != nil {
		return nil, v, err
	}
	asked.Sum = v.Sum
	if raw == nil {
		return nil, asked, nil
	}
	m, err := readMetalink(raw)
	if err != nil {
		return nil, v, err
	}
	if m.sha256 != "" && m.sha256 == v.Sum && q.before.sum != "" {
		return nil, asked, nil
	}
	head, now, err := q.firstOf(ctx, m.roots, &m)
	if err != nil {
		return nil, v, err
	}
	now.ETag, now.LastModified = asked.ETag, asked.LastModified // the next question goes to the metalink
	return head, now, nil
}

// byMirrorList asks the mirror that served before, and when that fails those of the list.
func (q rpmQuestion) byMirrorList(ctx context.Context) ([]byte, validators, error) {
	if root := q.before.validators.Root; root != "" && root != q.repo.URI {
		raw, v, err := q.usable(ctx, root, nil)
		if err == nil || ctx.Err() != nil {
			return raw, v, err
		}
	}
	raw, _, err := q.list(ctx, validators{})
	if err != nil {
		return nil, q.before.validators, err
	}
	roots := readMirrorList(raw)
	if len(roots) == 0 {
		return nil, q.before.validators, fmt.Errorf("mirror list: %w: there is no address of a mirror in it", ErrMalformed)
	}
	return q.firstOf(ctx, roots, nil)
}

// list fetches a metalink or mirror list.
func (q rpmQuestion) list(ctx context.Context, v validators) ([]byte, validators, error) {
	u, err := rpmURL(q.repo, q.repo.Mirrors, "")
	if err != nil {
		return nil, v, err
	}
	return q.w.fetch(ctx, u, v, maxMirrorList)
}

// firstOf takes the first mirror that has a usable head.
func (q rpmQuestion) firstOf(ctx context.Context, roots []string, want *metalinkFile) ([]byte, validators, error) {
	err := fmt.Errorf("%w: there is no mirror in the list", ErrMalformed)
	for _, root := range roots[:min(len(roots), triedMirrors)] {
		raw, v, failed := q.usable(ctx, root, want)
		if failed == nil || ctx.Err() != nil {
			return raw, v, failed
		}
		err = failed
	}
	return nil, q.before.validators, fmt.Errorf("none of the mirrors tried can be used, the last because of: %w", err)
}

// usable is from, and refuses a mirror that is behind or serves no head: another may do better.
func (q rpmQuestion) usable(ctx context.Context, root string, want *metalinkFile) ([]byte, validators, error) {
	raw, v, err := q.from(ctx, root, want)
	if err != nil || raw == nil {
		return raw, v, err
	}
	h, err := rpmFamily{}.open(q.w, raw, q.repo, q.w.now())
	if err == nil {
		err = h.about().check(q.before.about, q.w.now())
	}
	if err != nil {
		return nil, q.before.validators, fmt.Errorf("mirror %s: %w", shown(root), err)
	}
	return raw, v, nil
}

func (rpmFamily) regressed(_, _ map[string][]offer) error { return nil } // the date of a head orders states

// rpmURL is the address of a file below a repository's root.
func rpmURL(repo inventory.Repository, root, name string) (*url.URL, error) {
	u, err := url.Parse(root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", repo.Where, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s: %s cannot be watched: only http and https can", repo.Where, shownURL(u))
	}
	if name == "" {
		return u, nil
	}
	return u.JoinPath(name), nil
}

// shown leaves passwords out of an address.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "with an address that is none"
	}
	return shownURL(u)
}

// metalinkFile is what a metalink says of repomd.xml.
type metalinkFile struct {
	sha256, sha512 string
	roots          []string // of the mirrors, the best first
}

// check compares a file with the sums; nil promises nothing.
func (m *metalinkFile) check(b []byte) error {
	if m == nil {
		return nil
	}
	sum512 := sha512.Sum512(b)
	if m.sha512 != "" && m.sha512 != hex.EncodeToString(sum512[:]) || m.sha256 != "" && m.sha256 != sumOf(b) {
		return fmt.Errorf("%w: it is not the file that the metalink describes: the mirror is behind, or tampered with", ErrMismatch)
	}
	return nil
}

// joinRepomd makes one head of repomd.xml and its signature; splitRepomd parts them.
func joinRepomd(repomd, sign []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", len(repomd))
	b.Write(repomd)
	b.Write(sign)
	return b.Bytes()
}

func splitRepomd(raw []byte) (repomd, sign []byte, err error) {
	var n int
	first, rest, ok := bytes.Cut(raw, []byte("\n"))
	if _, err := fmt.Sscanf(string(first), "%d", &n); err != nil || !ok || n < 0 || n > len(rest) {
		return nil, nil, fmt.Errorf("%w: it is not what was kept", ErrMalformed)
	}
	return rest[:n], rest[n:], nil
}
