package export_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/export"
	"rebuilder/internal/policy"
)

// document is an OpenVEX document of some statements.
func document(statements ...string) string {
	return `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"Team A","timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[` + strings.Join(statements, ",") + `]}`
}

// stated is a statement that is right but for what is given.
func stated(products, rest string) string {
	return `{"vulnerability":{"name":"CVE-2026-1","aliases":["GHSA-x"]},"products":[` + products + `],` + rest + `}`
}

const notAffected = `"status":"not_affected","justification":"component_not_present"`

func TestReadOpenVEX(t *testing.T) {
	a, b := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	base := policy.Statement{Author: "Team A", Vulnerability: "CVE-2026-1", Aliases: []string{"GHSA-x"}, Status: policy.StatusNotAffected, Justification: "component_not_present", At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	with := func(change func(*policy.Statement)) []policy.Statement {
		s := base
		change(&s)
		return []policy.Statement{s}
	}
	for _, c := range []struct {
		name string
		doc  string
		want []policy.Statement
		err  string
	}{
		{"a digest in a package URL", document(stated(`{"@id":"pkg:oci/debian@`+a+`?repository_url=registry.example.com/base/debian"}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), ""},
		{"a digest in a package URL, escaped", document(stated(`{"@id":"pkg:oci/debian@`+strings.Replace(a, ":", "%3A", 1)+`"}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), ""},
		{"a repository", document(stated(`{"@id":"pkg:oci/debian?repository_url=registry.example.com/base/debian"}`, notAffected)), with(func(s *policy.Statement) { s.Images = []string{"registry.example.com/base/debian"} }), ""},
		{"a bare digest", document(stated(`{"@id":"`+a+`"}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), ""},
		{"a reference", document(stated(`{"@id":"registry.example.com/base/debian@`+a+`"}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), ""},
		{"hashes and identifiers", document(stated(`{"@id":"our image","hashes":{"sha-256":"`+strings.Repeat("A", 64)+`"},"identifiers":{"purl":"pkg:oci/debian@`+b+`"}}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a, b} }), ""},
		{"a digest says more than a name", document(stated(`{"@id":"pkg:oci/debian","hashes":{"sha-256":"`+strings.Repeat("a", 64)+`"}}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), ""},
		{"packages of an image", document(stated(`{"@id":"`+a+`","subcomponents":[{"@id":"pkg:deb/debian/libssl3"},{"identifiers":{"purl":"pkg:deb/debian/openssl@1"}}]}`, notAffected)),
			with(func(s *policy.Statement) {
				s.Digests, s.Packages = []string{a}, []string{"pkg:deb/debian/libssl3", "pkg:deb/debian/openssl@1"}
			}), ""},
		{"a package anywhere", document(stated(`{"@id":"pkg:apk/wolfi/openssl@3.1"}`, notAffected)), with(func(s *policy.Statement) { s.Packages = []string{"pkg:apk/wolfi/openssl@3.1"} }), ""},
		{"a name that looks like a pattern", document(stated(`{"@id":"pkg:oci/%2A"}`, notAffected)), with(func(s *policy.Statement) { s.Images = []string{`\*`} }), ""},
		{"two products", document(stated(`{"@id":"`+a+`"},{"@id":"`+b+`"}`, notAffected)),
			append(with(func(s *policy.Statement) { s.Digests = []string{a} }), with(func(s *policy.Statement) { s.Digests = []string{b} })...), ""},
		{"its own time and words", document(stated(`{"@id":"`+a+`"}`, `"status":"not_affected","impact_statement":"never called","timestamp":"2026-11-02T00:00:00Z","last_updated":"2026-11-03T00:00:00Z"`)),
			with(func(s *policy.Statement) {
				s.Digests, s.Justification, s.Impact, s.At = []string{a}, "", "never called", time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
			}), ""},
		{"fixed", document(stated(`{"@id":"`+a+`"}`, `"status":"fixed"`)), with(func(s *policy.Statement) {
			s.Digests, s.Status, s.Justification = []string{a}, policy.StatusFixed, ""
		}), ""},
		{"affected", document(stated(`{"@id":"`+a+`"}`, `"status":"affected","action_statement":"update"`)), with(func(s *policy.Statement) {
			s.Digests, s.Status, s.Justification, s.Impact = []string{a}, policy.StatusAffected, "", "update"
		}), ""},

		{"no product", document(stated("", notAffected)), nil, "vex.json: statement 1 (CVE-2026-1): it names no product"},
		{"a product that is nothing", document(stated(`{"@id":"our image"}`, notAffected)), nil, `statement 1 (CVE-2026-1): product "our image" is no image`},
		{"a product without a name", document(stated(`{}`, notAffected)), nil, "statement 1"},
		{"a subcomponent that is nothing", document(stated(`{"@id":"`+a+`","subcomponents":[{"@id":"openssl"}]}`, notAffected)), nil, `subcomponent "openssl" is no package URL`},
		{"a digest that is none", document(stated(`{"@id":"sha256:abc"}`, notAffected)), nil, "statement 1"},
		{"no justification", document(stated(`{"@id":"`+a+`"}`, `"status":"not_affected"`)), nil, "justification"},
		{"an unknown justification", document(stated(`{"@id":"`+a+`"}`, `"status":"not_affected","justification":"trust me"`)), nil, "trust me"},
		{"an unknown status", document(stated(`{"@id":"`+a+`"}`, `"status":"fine"`)), nil, "fine"},
		{"no vulnerability", document(`{"products":[{"@id":"` + a + `"}],` + notAffected + `}`), nil, "it names no vulnerability"},
		{"one wrong, one right", document(stated("", notAffected), stated(`{"@id":"`+a+`"}`, notAffected)), with(func(s *policy.Statement) { s.Digests = []string{a} }), "statement 1"},
		{"no JSON", "hello", nil, "vex.json: it is no OpenVEX document"},
		{"another document", `{"bomFormat":"CycloneDX"}`, nil, `its @context is ""`},
		{"too large", `"` + strings.Repeat("x", 33<<20) + `"`, nil, "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := export.ReadOpenVEX("vex.json", strings.NewReader(c.doc), nil)
			got := doc.Statements
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// A repository may be several images of the graph, or none.
func TestReadOpenVEXOfOurImages(t *testing.T) {
	images := func(repository string) []string {
		if repository == "registry.example.com/base/java" {
			return []string{"base/java", "base/java-17"}
		}
		return nil
	}
	doc := document(stated(`{"@id":"pkg:oci/java?repository_url=registry.example.com/base/java"}`, notAffected), stated(`{"@id":"pkg:oci/other?repository_url=elsewhere.example.com/other"}`, notAffected))
	read, err := export.ReadOpenVEX("vex.json", strings.NewReader(doc), images)
	got := read.Statements
	if err == nil || !strings.Contains(err.Error(), "statement 2") {
		t.Error(err)
	}
	if len(got) != 1 || fmt.Sprint(got[0].Images) != "[base/java base/java-17]" {
		t.Errorf("%+v", got)
	}
}

// Of a document that is all wrong some statements are named.
func TestReadOpenVEXNamesSome(t *testing.T) {
	many := make([]string, 1000)
	for i := range many {
		many[i] = stated("", notAffected)
	}
	_, err := export.ReadOpenVEX("vex.json", strings.NewReader(document(many...)), nil)
	if err == nil || len(err.Error()) > 5000 || !strings.Contains(err.Error(), "and 980 more") {
		t.Error(err)
	}
}

// No statement that is read is about all images unless it says so.
func FuzzReadOpenVEX(f *testing.F) {
	f.Add([]byte(document(stated(`{"@id":"pkg:oci/%2A@x","subcomponents":[{"@id":"pkg:deb/a"}]}`, notAffected))))
	f.Add([]byte(`{"@context":"https://openvex.dev/ns","statements":[{},null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _ := export.ReadOpenVEX("x", strings.NewReader(string(data)), nil)
		for _, s := range got.Statements {
			if len(s.Images) == 0 && len(s.Digests) == 0 && len(s.Packages) == 0 || s.Vulnerability == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
