package registry

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/registry/registrytest"
)

// strict is a registry in which each repository has its own blobs, with an index in a/app and what belongs to it.
type strict struct {
	*registrytest.Registry
	host  string
	index v1.Hash
	all   []v1.Hash // of the index and its images
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	s := &strict{Registry: registrytest.New()}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.host = strings.TrimPrefix(srv.URL, "http://")
	return s
}

func (s *strict) fill(t *testing.T, c *Client) {
	t.Helper()
	idx, platforms := indexOf(t, "linux/amd64", "linux/arm64", "linux/arm/v7")
	ref, err := name.ParseReference(s.host + "/a/app:1")
	if err == nil {
		err = remote.WriteIndex(ref, idx)
	}
	if err == nil {
		s.index, err = idx.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.all = []v1.Hash{s.index}
	for _, d := range platforms {
		s.all = append(s.all, d)
	}
	for _, d := range s.all {
		subject := s.host + "/a/app@" + d.String()
		bill, err := c.Attach(t.Context(), subject, spdx, nil, []byte("bill of "+d.Hex), spdx)
		if err == nil {
			_, err = c.Attach(t.Context(), s.host+"/a/app@"+bill.String(), "text/signature", nil, []byte("signed "+d.Hex), "text/plain")
		}
		if err == nil {
			err = c.AddToCompanion(t.Context(), subject, ".sig", []byte("{}"), "text/plain", map[string]string{"by": "us"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Counted()
}

// whole says what of the index and all that belongs to it is not in a repository.
func (s *strict) whole(t *testing.T, c *Client, repo string) {
	t.Helper()
	if err := c.Whole(t.Context(), repo, s.index); err != nil {
		t.Error(err)
	}
	for _, d := range s.all {
		subject := repo + "@" + d.String()
		all, err := c.Referrers(t.Context(), subject)
		if err != nil || len(all) != 1 || all[0].ArtifactType != spdx {
			t.Errorf("%s has %+v, %v", subject, all, err)
			continue
		}
		if content(t, repo+"@"+all[0].Digest.String()) != "bill of "+d.Hex {
			t.Errorf("%s has another bill of materials", subject)
		}
		if deeper, err := c.Referrers(t.Context(), repo+"@"+all[0].Digest.String()); err != nil || len(deeper) != 1 {
			t.Errorf("the bill of %s has %+v, %v", subject, deeper, err)
		}
		if m, err := c.Companion(t.Context(), subject, ".sig"); err != nil || m == nil || len(m.Layers) != 1 {
			t.Errorf("%s has no signature: %+v, %v", subject, m, err)
		}
	}
}

func TestTransferInsideARegistry(t *testing.T) {
	s, c := newStrict(t), newClient(t, Config{})
	s.fill(t, c)
	got, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, s.host+"/b/app")
	if err != nil {
		t.Fatal(err)
	}
	counts := s.Counted()
	if got.Bytes != 0 || counts.BlobBytes != 0 || got.Mounted != counts.Mounted || got.Mounted == 0 {
		t.Errorf("blobs moved: %+v, %+v", got, counts)
	}
	if got.Manifests != 4+4+4+4 {
		t.Errorf("wrote %d manifests, want the index and its images, and three things that belong to each", got.Manifests)
	}
	s.whole(t, c, s.host+"/b/app")
	s.Counted()
	again, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, s.host+"/b/app")
	if err != nil || again != (Copied{}) {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

func TestTransferToAnotherRegistry(t *testing.T) {
	s, other, c := newStrict(t), newStrict(t), newClient(t, Config{})
	s.fill(t, c)
	other.index, other.all = s.index, s.all
	got, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, other.host+"/a/app")
	if err != nil || got.Bytes == 0 || got.Mounted != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	other.whole(t, c, other.host+"/a/app")
}

// A registry that mounts nothing gets the blobs.
func TestTransferWithoutMounts(t *testing.T) {
	s, c := newStrict(t), newClient(t, Config{})
	s.fill(t, c)
	s.BreakWith(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.URL.Query().Get("mount") == "" {
			return false
		}
		r.URL.RawQuery = ""
		next.ServeHTTP(w, r)
		return true
	})
	if got, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, s.host+"/b/app"); err != nil || got.Bytes == 0 || got.Mounted != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	s.whole(t, c, s.host+"/b/app")
}

// Whoever was cut off after any write has moved no root, and ends with all of it.
func TestTransferCutOff(t *testing.T) {
	for cut := 1; ; cut++ {
		s, c := newStrict(t), newClient(t, Config{Attempts: 1})
		s.fill(t, c)
		n, did := 0, false
		s.BreakWith(func(_ http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				return false
			}
			if n++; n != cut {
				return false
			}
			did = true
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
		to := s.host + "/b/app"
		_, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, to)
		if root, _ := c.Digest(t.Context(), to+"@"+s.index.String()); err != nil && root != (v1.Hash{}) {
			if _, lost := errors.AsType[*NotFound](c.Whole(t.Context(), to, s.index)); lost {
				t.Errorf("cut at write %d: the index is there before what it names", cut)
			}
		}
		if !did {
			return
		}
		if _, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, to); err != nil {
			t.Fatalf("cut at write %d: %v", cut, err)
		}
		s.whole(t, c, to)
	}
}

// Signatures of others below the same tag stay.
func TestTransferKeepsOthersSignatures(t *testing.T) {
	s, c := newStrict(t), newClient(t, Config{})
	s.fill(t, c)
	to := s.host + "/b/app"
	if _, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, to); err != nil {
		t.Fatal(err)
	}
	for repo, by := range map[string]string{to: "them", s.host + "/a/app": "us, too"} {
		if err := c.AddToCompanion(t.Context(), repo+"@"+s.index.String(), ".sig", []byte("{}"), "text/plain", map[string]string{"by": by}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Transfer(t.Context(), s.host+"/a/app", s.index, to); err != nil {
		t.Fatal(err)
	}
	m, err := c.Companion(t.Context(), to+"@"+s.index.String(), ".sig")
	if err != nil || len(m.Layers) != 3 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestWhole(t *testing.T) {
	s, c := newStrict(t), newClient(t, Config{})
	s.fill(t, c)
	if err := c.Whole(t.Context(), s.host+"/a/app", s.index); err != nil {
		t.Error(err)
	}
	s.BreakWith(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		gone := strings.HasSuffix(r.URL.Path, s.all[2].String())
		if gone {
			w.WriteHeader(http.StatusNotFound)
		}
		return gone
	})
	if err := c.Whole(t.Context(), s.host+"/a/app", s.index); !errors.Is(err, ErrNotFound) || !bytes.Contains([]byte(err.Error()), []byte(s.all[2].String())) {
		t.Errorf("one is missing: %v", err)
	}
}
