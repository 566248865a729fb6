package rollout_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/catalog"
	judging "rebuilder/internal/judge"
	"rebuilder/internal/registry"
	"rebuilder/internal/rollout"
	"rebuilder/internal/sign"
	"rebuilder/internal/store"
)

// cutSigner may be cut before and after each thing that it does.
type cutSigner struct {
	*sign.Signer
	cut *cut
}

func (s cutSigner) Sign(ctx context.Context, ref string) error {
	s.cut.here("before sign")
	err := s.Signer.Sign(ctx, ref)
	s.cut.here("after sign")
	return err
}

func (s cutSigner) Attest(ctx context.Context, ref, predicateType string, predicate []byte) error {
	s.cut.here("before " + predicateType)
	err := s.Signer.Attest(ctx, ref, predicateType, predicate)
	s.cut.here("after " + predicateType)
	return err
}

// signing is a lab that signs what it promotes, and builds only on what is signed.
type signing struct {
	*lab
	registry *registry.Client
	key      *sign.Key
}

func newSigning(t *testing.T) *signing {
	t.Helper()
	l := unstarted(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	l.write("cosign.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	s := &signing{lab: l}
	if s.key, err = sign.OpenKey(t.Context(), sign.KeyConfig{File: filepath.Join(l.dir, "cosign.key")}); err != nil {
		t.Fatal(err)
	}
	l.write("cosign.pub", string(s.key.Public().PEM))
	if s.registry, err = registry.New(registry.Config{Backoff: time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	l.gates = rollout.Gates{Judge: &judge{}, Signer: cutSigner{sign.New(s.key, s.registry), l.cut}, Verifier: judging.Signatures{
		Registry: s.registry, Catalog: func() *catalog.Catalog { return l.loop.Catalog() }, Ours: s.key.Public(),
	}}
	l.write("catalog.toml", l.read("catalog.toml")+"[signing]\nkey = \"cosign.key\"\nverify = true\n")
	return s
}

// run starts the daemon.
func (s *signing) run() {
	s.start()
	s.t.Cleanup(func() { s.stop() })
}

// verifyUpstream asks for a signature of the upstream.
func (s *signing) verifyUpstream() {
	s.write("catalog.toml", strings.Replace(s.read("catalog.toml"), "/upstream/debian:12\"\n", "/upstream/debian:12\"\nverify = { key = \"cosign.pub\" }\n", 1))
}

func (s *signing) statements(ref, predicateType string) []sign.Statement {
	s.t.Helper()
	got, err := sign.Statements(s.t.Context(), s.registry, s.key.Public(), ref, predicateType)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func TestWhatIsPromotedIsSigned(t *testing.T) {
	t.Parallel()
	s := newSigning(t)
	s.run()
	inUse(s.lab)
	s.publish("1.1")
	s.settle()
	s.right()
	ro, nodes := s.last()
	for _, base := range []string{"base/debian", "base/python"} {
		n := nodes[base]
		ref := s.host + "/" + base + "@" + n.After
		if _, err := sign.Verify(t.Context(), s.registry, s.key.Public(), ref); err != nil {
			t.Error(err)
		}
		if got := s.statements(ref, "urn:rebuilder:verdict:v1"); len(got) != 1 || !strings.Contains(string(got[0].Predicate), `"outcome":"pass"`) {
			t.Errorf("verdict of %s: %s", base, got)
		}
		got := s.statements(ref, "urn:rebuilder:promotion:v1")
		if len(got) != 1 {
			t.Fatalf("promotions of %s: %s", base, got)
		}
		var p struct{ Image, Reference, Channel, From, To, Release, Rollout, Rule, By, Kind string }
		if err := json.Unmarshal(got[0].Predicate, &p); err != nil {
			t.Fatal(err)
		}
		if p.Image != base || p.Reference != s.host+"/"+base+":stable" || p.From != n.Before || p.To != n.After || p.Release == "" || p.Rollout != ro.ID || p.By != "rebuilder" || p.Kind != "automation" {
			t.Errorf("promotion of %s: %+v", base, p)
		}
	}
	if got := nodes["base/python"].Detail.Signatures; len(got) != 1 || got[0].Image != "base/debian" || got[0].Key != s.key.Public().ID || !strings.HasSuffix(got[0].Reference, nodes["base/debian"].After) {
		t.Errorf("the evidence of base/python does not name its parent's signature: %+v", got)
	}
}

// A process that is killed between any two signatures goes on, and signs nothing twice.
func TestSigningSurvivesAKill(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before sign", "after sign", "after urn:rebuilder:verdict:v1", "before urn:rebuilder:promotion:v1", "after urn:rebuilder:promotion:v1", "before tag stable"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := newSigning(t)
			s.run()
			inUse(s.lab)
			s.cut.armAt(at)
			s.publish("1.1")
			s.settle()
			s.right()
			if got := s.cut.where(); got != at {
				t.Fatalf("cut at %q", got)
			}
			_, nodes := s.last()
			ref := s.host + "/base/debian@" + nodes["base/debian"].After
			for _, predicateType := range []string{"urn:rebuilder:verdict:v1", "urn:rebuilder:promotion:v1"} {
				if got := s.statements(ref, predicateType); len(got) != 1 {
					t.Errorf("%d statements %s", len(got), predicateType)
				}
			}
		})
	}
}

func TestUnsignedUpstreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arm    func(*signing)
		reason string // of not being built; empty: it is
	}{
		"not signed":          {func(*signing) {}, "is not signed, and a signature of key sha256:"},
		"signed":              {func(s *signing) { s.signUpstream(s.key) }, ""},
		"signed by its index": {func(s *signing) { s.index("upstream/debian:12"); s.signUpstream(s.key) }, ""},
		"signed by another":   {func(s *signing) { s.signUpstream(newSigning(s.t).key) }, "none of the 2 signatures of"},
		"no such key":         {func(s *signing) { _ = os.Remove(filepath.Join(s.dir, "cosign.pub")) }, "cosign.pub: no such file"},
		"another image's sign": {func(s *signing) {
			s.signUpstream(s.key)
			s.push(s.layer(s.pull("upstream/debian:12"), map[string]string{"x": "y"}), "upstream/debian:12")
		}, "is not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigning(t)
			s.verifyUpstream()
			c.arm(s)
			s.run()
			if c.reason == "" {
				s.until(func() bool { return s.newest("base/debian").State == store.Done })
				if got := s.newest("base/debian").Detail.Signatures; len(got) != 1 || got[0].Image != "upstream/debian" {
					t.Errorf("evidence: %+v", got)
				}
				return
			}
			s.until(func() bool { return s.newest("base/debian").State == store.Blocked })
			n := s.newest("base/debian")
			if !strings.Contains(n.Reason, "it would stand on upstream/debian: ") || !strings.Contains(n.Reason, c.reason) || !strings.Contains(n.Who, "upstream/debian") {
				t.Errorf("%s, by %s", n.Reason, n.Who)
			}
			if got := s.builder.count("base/debian"); got != 0 {
				t.Errorf("it was built %d times", got)
			}
		})
	}
}

func (s *signing) signUpstream(key *sign.Key) {
	s.t.Helper()
	ref := s.host + "/upstream/debian"
	digest, err := s.registry.Digest(s.t.Context(), ref+":12")
	if err == nil {
		err = sign.New(key, s.registry).Sign(s.t.Context(), ref+"@"+digest.String())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// A rollback is attested, and does not wait for a key that does not answer.
func TestRollbacksAreAttested(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"with its key": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigning(t)
			away := &awaySigner{Signer: s.gates.Signer, is: away}
			s.run()
			inUse(s.lab)
			first := s.digest("base/debian:stable")
			s.publish("1.1")
			s.settle()
			s.stop()
			s.gates.Signer = away
			s.start()
			m, err := s.back(rollout.ByHand{})
			if err != nil || m.To != first || s.channel("base/debian") != first {
				t.Fatalf("%+v, %v", m, err)
			}
			got := s.statements(s.host+"/base/debian@"+first, "urn:rebuilder:promotion:v1")
			said := ""
			for _, g := range got {
				said += string(g.Predicate)
			}
			if human := strings.Contains(said, `"by":"ada","kind":"human"`) && strings.Contains(said, `"rule":"rollback"`) && strings.Contains(said, "TLS is broken"); human == away.is {
				t.Errorf("attested are %s", said)
			}
		})
	}
}

// awaySigner does not answer when it is away.
type awaySigner struct {
	rollout.Signer
	is bool
}

func (s *awaySigner) Sign(ctx context.Context, ref string) error {
	if s.is {
		return errors.New("the KMS is away")
	}
	return s.Signer.Sign(ctx, ref)
}

// Who moves a channel while its candidate passes its gates is not overwritten, and is told of.
func TestAChannelThatIsMovedMeanwhile(t *testing.T) {
	t.Parallel()
	l, j, _ := gated(t)
	ours := l.channel("base/debian")
	other := l.layer(l.pull("upstream/debian:12"), map[string]string{"theirs": "x"})
	j.mu.Lock()
	j.during = func(image string) {
		if image == "base/debian" {
			l.push(other, "base/debian:stable")
		}
	}
	j.mu.Unlock()
	l.publish("1.1")
	l.until(func() bool { return l.newest("base/debian").State == store.Blocked })
	n := l.newest("base/debian")
	if !strings.Contains(n.Reason, "was moved by somebody else") || !strings.Contains(n.Reason, "our last promotion was to "+short(ours)) || !strings.Contains(n.Who, "--override") {
		t.Errorf("%s: %s", n.Reason, n.Who)
	}
	if want, err := other.Digest(); err != nil || l.channel("base/debian") != want.String() {
		t.Errorf("the channel was overwritten: %v", err)
	}
}
