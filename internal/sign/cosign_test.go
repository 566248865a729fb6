package sign_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"rebuilder/internal/sign"
)

// cosigns are the programs in the directories that REBUILDER_COSIGN lists, as `make cosign` builds them.
func cosigns(t *testing.T) (out []string) {
	t.Helper()
	list := os.Getenv("REBUILDER_COSIGN")
	if list == "" {
		t.Skip("REBUILDER_COSIGN is not set: make cosign builds what this test runs")
	}
	for _, dir := range filepath.SplitList(list) {
		out = append(out, filepath.Join(dir, "cosign"))
	}
	return out
}

// run runs a cosign that reaches nothing but the loopback address: every proxy is a closed door.
func run(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin", "COSIGN_PASSWORD=" + password, "COSIGN_EXPERIMENTAL=1", "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1"}
	cmd.Dir = home
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func publicFile(t *testing.T, k *sign.PublicKey) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cosign.pub")
	must(t, os.WriteFile(file, k.PEM, 0o600))
	return file
}

var predicates = map[string]string{ // by cosign's --type
	"cyclonedx":                  `{"bomFormat":"CycloneDX","specVersion":"1.6"}`,
	"spdxjson":                   `{"spdxVersion":"SPDX-2.3","name":"<a> & b"}`,
	"slsaprovenance1":            `{"buildDefinition":{"buildType":"x"},"runDetails":{"builder":{"id":"x"}}}`,
	"urn:rebuilder:verdict:v1":   `{"outcome":"pass"}`,
	"urn:rebuilder:promotion:v1": `{"channel":"stable"}`,
	"https://example.com/v1":     `{}`,
}

var predicateTypes = map[string]string{"cyclonedx": "https://cyclonedx.org/bom", "spdxjson": "https://spdx.dev/Document", "slsaprovenance1": "https://slsa.dev/provenance/v1"}

// What is signed here is verified by cosign, offline and by key, with keys of every kind.
func TestCosignVerifies(t *testing.T) {
	for _, program := range cosigns(t) {
		for kind, file := range keyFiles(t) {
			t.Run(filepath.Base(filepath.Dir(program))+" "+kind, func(t *testing.T) {
				s := newShelf(t, ggcr.WithReferrersSupport(true))
				key, err := sign.OpenKey(t.Context(), sign.KeyConfig{File: file, Password: asked(password)})
				must(t, err)
				signer := sign.New(key, s.client)
				must(t, signer.Sign(t.Context(), s.image))
				attested := predicates
				if kind != "cosign" { // the same statements with another key are told by one of them
					attested = map[string]string{"cyclonedx": predicates["cyclonedx"]}
				}
				for kind, predicate := range attested {
					predicateType := predicateTypes[kind]
					if predicateType == "" {
						predicateType = kind
					}
					must(t, signer.Attest(t.Context(), s.image, predicateType, []byte(predicate)))
				}
				ours, theirs := publicFile(t, key.Public()), publicFile(t, newKey(t).Public())
				for _, flags := range verifications(t, program) {
					verify := func(key string, more ...string) (string, error) {
						return run(t, program, append(append(more, "--key", key, s.image), flags...)...)
					}
					if out, err := verify(ours, "verify"); err != nil || !strings.Contains(out, strings.Split(s.image, "@")[1]) && !strings.Contains(strings.Join(flags, " "), "bundle") {
						t.Errorf("verify %v: %v: %s", flags, err, out)
					}
					if out, err := verify(theirs, "verify"); err == nil {
						t.Errorf("verify %v with another key: %s", flags, out)
					}
					for kind := range attested {
						if out, err := verify(ours, "verify-attestation", "--type", kind); err != nil {
							t.Errorf("verify-attestation --type %s %v: %v: %s", kind, flags, err, out)
						}
						if out, err := verify(theirs, "verify-attestation", "--type", kind); err == nil {
							t.Errorf("verify-attestation --type %s %v with another key: %s", kind, flags, out)
						}
					}
					if out, err := verify(ours, "verify-attestation", "--type", "vuln"); err == nil {
						t.Errorf("verify-attestation of what was not attested: %s", out)
					}
				}
			})
		}
	}
}

// verifications are the flags of each way in which a cosign looks for signatures.
func verifications(t *testing.T, program string) [][]string {
	t.Helper()
	tags := []string{"--private-infrastructure"}
	ignore := []string{"--insecure-ignore-tlog"}
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	must(t, os.WriteFile(root, []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), 0o600))
	bundles := []string{"--private-infrastructure", "--new-bundle-format", "--trusted-root", root}
	return [][]string{tags, ignore, bundles}
}

// What cosign signs is verified here.
func TestVerifiesCosign(t *testing.T) {
	for _, program := range cosigns(t) {
		t.Run(filepath.Base(filepath.Dir(program)), func(t *testing.T) {
			dir := t.TempDir()
			if out, err := run(t, program, "generate-key-pair", "--output-key-prefix", filepath.Join(dir, "k")); err != nil {
				t.Fatal(err, out)
			}
			public, err := sign.ReadPublicKey(filepath.Join(dir, "k.pub"))
			must(t, err)
			private, err := sign.OpenKey(t.Context(), sign.KeyConfig{File: filepath.Join(dir, "k.key"), Password: asked(password)})
			if err != nil || private.Public().ID != public.ID {
				t.Fatalf("cosign's own key: %v", err)
			}
			for name, flags := range signings(program) {
				t.Run(name, func(t *testing.T) {
					s := newShelf(t, ggcr.WithReferrersSupport(true))
					if out, err := run(t, program, append([]string{"sign", "--yes", "--key", filepath.Join(dir, "k.key"), s.image}, flags...)...); err != nil {
						t.Fatal(err, out)
					}
					got, err := sign.Verify(t.Context(), s.client, public, s.image)
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("found as %s", got.Place)
				})
			}
		})
	}
}

// signings are the flags of each way in which a cosign signs, without a transparency log.
func signings(program string) map[string][]string {
	if filepath.Base(filepath.Dir(program)) == "v2" {
		return map[string][]string{
			"tag":       {"--tlog-upload=false"},
			"bundle":    {"--tlog-upload=false", "--new-bundle-format"},
			"referrers": {"--tlog-upload=false", "--registry-referrers-mode=oci-1-1"},
		}
	}
	return map[string][]string{
		"tag":    {"--tlog-upload=false", "--use-signing-config=false", "--new-bundle-format=false"},
		"bundle": {"--tlog-upload=false", "--use-signing-config=false"},
	}
}
