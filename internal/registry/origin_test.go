package registry

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	slsa1  = "https://slsa.dev/provenance/v1"
	slsa02 = "https://slsa.dev/provenance/v0.2"
)

func hashOf(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

// provenance is a statement as BuildKit writes it.
func provenance(predicate string, subject v1.Hash, uris ...string) string {
	var materials []string
	for _, u := range uris {
		materials = append(materials, fmt.Sprintf(`{"uri":%q,"digest":{"sha256":%q}}`, u, strings.Repeat("d", 64)))
	}
	list := "[" + strings.Join(materials, ",") + "]"
	body := `{"buildDefinition":{"buildType":"https://mobyproject.org/buildkit@v1","resolvedDependencies":` + list + `},"runDetails":{}}`
	if predicate == slsa02 {
		body = `{"buildType":"https://mobyproject.org/buildkit@v1","materials":` + list + `}`
	}
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":%q,"subject":[{"name":"_","digest":{"sha256":%q}}],"predicate":%s}`, predicate, subject.Hex, body)
}

func TestClaimsOfAStatement(t *testing.T) {
	subject, d := hashOf("a"), hashOf("d")
	const java = "pkg:docker/127.0.0.1%3A5006/base/java@17?digest=sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb&platform=linux%2Farm64"
	whole := Claim{Provenance, "127.0.0.1:5006/base/java:17", hashOf("b"), "linux/arm64"}
	for _, c := range []struct {
		name, doc string
		want      []Claim
		err       string
	}{
		{"v1", provenance(slsa1, subject, java), []Claim{whole}, ""},
		{"v0.2", provenance(slsa02, subject, java), []Claim{whole}, ""},
		{"the digest beside the name", provenance(slsa1, subject, "pkg:docker/debian@12"), []Claim{{Provenance, "debian:12", d, ""}}, ""},
		{"a digest for a version", provenance(slsa1, subject, "pkg:docker/acme/debian@sha256%3A"+strings.Repeat("b", 64)+"?repository_url=ghcr.example.com"),
			[]Claim{{Provenance, "ghcr.example.com/acme/debian", hashOf("b"), ""}}, ""},
		{"oci", provenance(slsa1, subject, "pkg:oci/debian@sha256%3A"+strings.Repeat("b", 64)+"?repository_url=ghcr.example.com/acme/debian&tag=12"),
			[]Claim{{Provenance, "ghcr.example.com/acme/debian:12", hashOf("b"), ""}}, ""},
		{"sources and downloads are no images", provenance(slsa1, subject, "https://github.com/acme/web.git#main", "https://example.com/x.tar.gz", "pkg:deb/debian/curl@7"), nil, ""},
		{"the same twice", provenance(slsa1, subject, java, java), []Claim{whole}, ""},
		{"no name", provenance(slsa1, subject, "pkg:docker/%20bad%20@1", "pkg:docker/"+strings.Repeat("a", 2000), "pkg:docker/UPPER/x@1", "pkg:", ""), nil, ""},
		{"an SBOM", strings.ReplaceAll(provenance(slsa1, subject, java), slsa1, "https://spdx.dev/Document"), nil, ""},
		{"about another image", provenance(slsa1, hashOf("c"), java), nil, "another image"},
		{"about nothing", strings.ReplaceAll(provenance(slsa1, subject, java), `"subject"`, `"subjects"`), nil, "another image"},
		{"in an envelope", `{"payloadType":"application/vnd.in-toto+json","payload":"` + base64.StdEncoding.EncodeToString([]byte(provenance(slsa1, subject, java))) + `","signatures":[]}`, []Claim{whole}, ""},
		{"in a bundle", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"` + base64.StdEncoding.EncodeToString([]byte(provenance(slsa1, subject, java))) + `"}}`, []Claim{whole}, ""},
		{"an envelope of something else", `{"payload":"` + base64.StdEncoding.EncodeToString([]byte("hello")) + `"}`, nil, "payload"},
		{"no JSON", "hello", nil, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := claimsOf([]byte(c.doc), subject, v1.Hash{})
			if !slices.Equal(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
	var many []string
	for i := range 2 * maxClaims {
		many = append(many, fmt.Sprintf("pkg:docker/x@%d", i))
	}
	if got, err := claimsOf([]byte(provenance(slsa1, subject, many...)), subject); err != nil || len(got) != maxClaims {
		t.Errorf("%d claims, %v", len(got), err)
	}
}

func FuzzClaimsOf(f *testing.F) {
	subject := hashOf("a")
	f.Add([]byte(provenance(slsa1, subject, "pkg:docker/127.0.0.1%3A5006/base/java@17?digest=sha256:"+strings.Repeat("b", 64))))
	f.Add([]byte(provenance(slsa02, subject, "pkg:oci/debian@sha256%3A"+strings.Repeat("b", 64)+"?tag=1&repository_url=x")))
	f.Add([]byte(`{"payload":"e30="}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		claims, _ := claimsOf(doc, subject)
		for _, c := range claims {
			if r, ok := reference(c.Reference, ""); c.Evidence != Provenance || !ok || r != c.Reference || len(c.Platform) > maxName {
				t.Errorf("%+v", c)
			}
		}
	})
}

// attestation is a manifest that holds statements.
func attestation(t *testing.T, predicate string, docs ...string) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, doc := range docs {
		var err error
		img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer([]byte(doc), "application/vnd.in-toto+json"), Annotations: map[string]string{"in-toto.io/predicate-type": predicate}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func newWorldWithReferrers(t *testing.T) *world {
	t.Helper()
	w := &world{}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		fault := w.fault
		w.requests = append(w.requests, r.Method+" "+r.URL.Path)
		w.mu.Unlock()
		if fault == nil || !fault(rw, r) {
			inner.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(srv.Close)
	w.host = strings.TrimPrefix(srv.URL, "http://")
	return w
}

func TestOriginsOfAnIndex(t *testing.T) {
	w := newWorld(t) // knows no referrers
	amd, arm := imageFor(t, "linux/amd64"), imageFor(t, "linux/arm64")
	var idx v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for platform, img := range map[string]v1.Image{"linux/amd64": amd, "linux/arm64": arm} {
		p, _ := v1.ParsePlatform(platform)
		d, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}},
			mutate.IndexAddendum{Add: attestation(t, slsa1, provenance(slsa1, d, "pkg:docker/r.example.com/base/java@17?platform="+platform)),
				Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": d.String()}}})
	}
	idx = mutate.Annotations(idx, map[string]string{baseName: "r.example.com/base/java:17"}).(v1.ImageIndex)
	w.push(t, "web:1", idx)
	got, err := newClient(t, Config{}).Origins(t.Context(), w.host+"/web:1")
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, o := range got {
		want := []Claim{{Annotation, "r.example.com/base/java:17", v1.Hash{}, o.Platform}, {Provenance, "r.example.com/base/java:17", hashOf("d"), o.Platform}}
		if !slices.Equal(o.Claims, want) || len(o.Problems) > 0 || len(o.DiffIDs) != 2 {
			t.Errorf("%s: %+v", o.Platform, o)
		}
	}
	for _, r := range w.seen() {
		if strings.HasPrefix(r, "HEAD ") || !strings.HasPrefix(r, "GET ") {
			t.Errorf("a request %s", r)
		}
	}
}

func TestOriginsThatAreAttached(t *testing.T) {
	w := newWorldWithReferrers(t)
	img := imageFor(t, "linux/amd64")
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.Config.Labels = map[string]string{baseName: "debian:12", baseDigest: hashOf("e").String()}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	d := w.push(t, "web:1", img)
	size, _ := img.Size()
	attach := func(docs ...string) {
		t.Helper()
		a := attestation(t, slsa02, docs...)
		a = mutate.Subject(mutate.ConfigMediaType(a, "application/vnd.in-toto+json"), v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: d, Size: size}).(v1.Image)
		h, err := a.Digest()
		if err != nil {
			t.Fatal(err)
		}
		w.push(t, "web@"+h.String(), a)
	}
	attach(provenance(slsa02, d, "pkg:docker/debian@12"), "no JSON")
	attach(provenance(slsa02, hashOf("f"), "pkg:docker/evil@1"))
	c := newClient(t, Config{})
	got, err := c.Origins(t.Context(), w.host+"/web:1")
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := []Claim{{Annotation, "debian:12", hashOf("e"), "linux/amd64"}, {Provenance, "debian:12", hashOf("d"), "linux/amd64"}}
	if !slices.Equal(got[0].Claims, want) {
		t.Errorf("claims %+v, want %+v", got[0].Claims, want)
	}
	if len(got[0].Problems) != 2 || !strings.Contains(strings.Join(got[0].Problems, " "), "another image") {
		t.Errorf("problems %q", got[0].Problems)
	}

	// A list that cannot be had is a problem, and hides nothing else.
	w.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/referrers/") {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	got, err = c.Origins(t.Context(), w.host+"/web:1")
	if err != nil || len(got) != 1 || len(got[0].Problems) != 1 || len(got[0].Claims) != 1 || len(got[0].DiffIDs) != 2 {
		t.Errorf("without the list: %+v, %v", got, err)
	}
}

func TestManifestsOfAllPlatformsCostOneRequest(t *testing.T) {
	w := newWorld(t)
	idx, digests := indexOf(t, "unknown/unknown", "linux/arm64/v8", "linux/amd64", "linux/amd64")
	w.push(t, "a:1", idx)
	got, err := newClient(t, Config{}).Resolve(t.Context(), w.host+"/a:1", "linux/arm64")
	if err != nil || len(got.Manifests) != 2 || got.Manifests["linux/arm64"] != digests["linux/arm64/v8"] || got.Manifests["linux/amd64"] == (v1.Hash{}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if seen := w.seen(); len(seen) != 2 || !strings.HasPrefix(seen[1], "GET ") {
		t.Errorf("%v, want a HEAD and a GET", seen)
	}
}
