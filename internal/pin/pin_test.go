package pin_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rebuilder/internal/pin"
)

const (
	old = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	now = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func base(r pin.Reference) string {
	if strings.HasSuffix(r.Repository(), "base/nginx") {
		return now
	}
	return ""
}

func TestPin(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a manifest", `# who owns it
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - {name: wait, image: "r:5000/base/nginx:stable"} # in flow
      containers:
      - name: web
        image: r:5000/base/nginx   # follows latest
      - name: other
        image: r:5000/base/java:17
`, `# who owns it
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
      - {name: wait, image: "r:5000/base/nginx:stable@NOW"} # in flow
      containers:
      - name: web
        image: r:5000/base/nginx@NOW   # follows latest
      - name: other
        image: r:5000/base/java:17
`},
		{"a pinned one among documents, a custom resource, a volume", `apiVersion: v1
kind: ConfigMap
data: {image: plain words stay}
---
apiVersion: example.com/v1
kind: Task
spec: {steps: [{image: 'r/base/nginx:stable@OLD'}]}
---
# nothing
---
apiVersion: v1
kind: Pod
spec:
  volumes:
  - image:
      reference: r/base/nginx:1
`, `apiVersion: v1
kind: ConfigMap
data: {image: plain words stay}
---
apiVersion: example.com/v1
kind: Task
spec: {steps: [{image: 'r/base/nginx:stable@NOW'}]}
---
# nothing
---
apiVersion: v1
kind: Pod
spec:
  volumes:
  - image:
      reference: r/base/nginx:1@NOW
`},
		{"a kustomization", `kind: Kustomization
images:
- name: nginx
  newName: r/base/nginx
  newTag: stable # ours
- newTag: "2"
  name: r/base/nginx
- name: r/base/nginx
  digest: OLD
- name: r/base/nginx
- {name: r/base/nginx, newTag: x}
- name: elsewhere
  newTag: y`, `kind: Kustomization
images:
- name: nginx
  newName: r/base/nginx
  newTag: stable # ours
  digest: NOW
- newTag: "2"
  digest: NOW
  name: r/base/nginx
- name: r/base/nginx
  digest: NOW
- name: r/base/nginx
  digest: NOW
- {name: r/base/nginx, newTag: x, digest: NOW}
- name: elsewhere
  newTag: y`},
		{"a kustomization that ends with its last entry", "resources: [a.yaml]\nimages:\n- name: r/base/nginx", "resources: [a.yaml]\nimages:\n- name: r/base/nginx\n  digest: NOW"},
		{"values", `image: r/base/nginx:1
web:
  image:
    registry: r:5000
    repository: base/nginx
    tag: 1.20
proxy:
  image: {repository: r/base/nginx, tag: "stable@OLD", pullPolicy: Always}
sidecar:
  repository: r/base/nginx
  tag: stable
  digest: ""
`, `image: r/base/nginx:1@NOW
web:
  image:
    registry: r:5000
    repository: base/nginx
    tag: 1.20@NOW
proxy:
  image: {repository: r/base/nginx, tag: "stable@NOW", pullPolicy: Always}
sidecar:
  repository: r/base/nginx
  tag: stable
  digest: "NOW"
`},
		{"compose", `x-shared: {image: r/base/nginx:1}
services:
  web:
    image: r/base/nginx:1
  built:
    build: .
    image: r/base/nginx:mine
`, `x-shared: {image: r/base/nginx:1}
services:
  web:
    image: r/base/nginx:1@NOW
  built:
    build: .
    image: r/base/nginx:mine
`},
		{"a byte order mark, wide letters, other line ends", "\ufeffservices:\r\n  \u00e4\u00f6: {x: \u2603, image: r/base/nginx:1}\r\n  b:\r\n    image: r/base/nginx\r\n", "\ufeffservices:\r\n  \u00e4\u00f6: {x: \u2603, image: r/base/nginx:1@NOW}\r\n  b:\r\n    image: r/base/nginx@NOW\r\n"},
		{"kustomize with other line ends", "kind: Kustomization\r\nimages:\r\n- name: r/base/nginx\r\n  newTag: a\r\n", "kind: Kustomization\r\nimages:\r\n- name: r/base/nginx\r\n  newTag: a\r\n  digest: NOW\r\n"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			full := strings.NewReplacer("OLD", old, "NOW", now)
			f, err := pin.Parse("deploy/app.yaml", []byte(full.Replace(c.src)))
			if err != nil {
				t.Fatal(err)
			}
			out, err := f.Pin(base)
			if err != nil {
				t.Fatal(err)
			}
			if want := full.Replace(c.want); string(out) != want {
				t.Errorf("got:\n%s\nwant:\n%s", out, want)
			}
			if f, err = pin.Parse("deploy/app.yaml", out); err != nil {
				t.Fatal(err)
			}
			if again, err := f.Pin(base); err != nil || !bytes.Equal(again, out) {
				t.Errorf("pinned again it is not the same: %v\n%s", err, again)
			}
		})
	}
}

// TestNotPinned are references that stand somewhere and are not touched, with the reason.
func TestNotPinned(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"services: {a: {image: 'r/base/nginx:${TAG}'}}", "1 r/base/nginx:${TAG}: it has a variable: its value is not in this file"},
		{"x: &n r/base/nginx:1\nservices: {a: {image: *n}}", "2 r/base/nginx:1: it is an alias: write the reference there"},
		{"services: {a: {image: &n r/base/nginx:1}}", "1 r/base/nginx:1: it is not written in one piece on one line"},
		{"image: >-\n  r/base/nginx:1\n", "1 r/base/nginx:1: it is not written in one piece on one line"},
		{`image: "r/base\x2fnginx:1"`, "1 r/base/nginx:1: it is not written in one piece on one line"},
		{"image: {repository: r/base/nginx, tag: ''}", "1 r/base/nginx: its tag is the chart's own: write tag, or digest, beside repository"},
		{"image: {repository: r/base/nginx, tag: }", "1 r/base/nginx: its tag is the chart's own: write tag, or digest, beside repository"},
	} {
		f, err := pin.Parse("a.yaml", []byte(c.src))
		if err != nil || len(f.References) != 1 {
			t.Errorf("%s: %v, %+v", c.src, err, f)
			continue
		}
		r := f.References[0]
		if got := fmt.Sprintf("%d %s: %s", r.Line, r.Name, r.Why); got != c.want || r.Rewritable {
			t.Errorf("%s\n got %s\nwant %s", c.src, got, c.want)
		}
		if _, err := f.Pin(func(pin.Reference) string { return now }); err == nil || !strings.HasPrefix(err.Error(), "a.yaml:") {
			t.Errorf("%s: pinned: %v", c.src, err)
		}
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	for _, c := range []struct{ name, src, want string }{
		{"a template", "kind: Pod\nspec:\n  {{- if .Values.x }}\n  image: a\n", "a.yaml:2: did not find expected node content (a template is no YAML: name the file with its values instead)"},
		{"too large", strings.Repeat("a", pin.MaxSize+1), "a.yaml: 1048577 bytes: at most 1048576 are read"},
		{"too deep", deep, "a.yaml: more than 100000 values, or nested deeper than 200: it is not read"},
		{"too many", "x: [" + strings.Repeat("{image: a},", 1001) + "]", "a.yaml: 1001 image references: at most 1000 are read"},
	} {
		if _, err := pin.Parse("a.yaml", []byte(c.src)); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	f, err := pin.Parse("a.yaml", []byte("image: a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Pin(func(pin.Reference) string { return "sha256:1" }); err == nil {
		t.Error("pinned to what is no digest")
	}
}

// FuzzPin: whatever can be pinned is pinned, and the values of the file are otherwise what they were.
func FuzzPin(f *testing.F) {
	for _, seed := range []string{
		"image: a:1\n", "kind: Kustomization\nimages:\n- name: a\n  newTag: b\n", "services:\n  a: {image: 'b'}\n",
		"image: {registry: a, repository: b, tag: c, digest: ''}\n", "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: \"a\"}]}\n---\nimage: x",
		"image: a\r\rimage2: b\u2028image: c", "kind: Kustomization\nimages: [{name: a, newTag: 1.0}, {name: b,}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := pin.Parse("a.yaml", src)
		if err != nil {
			return
		}
		out, err := file.Pin(func(r pin.Reference) string {
			if r.Rewritable {
				return now
			}
			return ""
		})
		if err != nil {
			t.Skip(err) // refused is right, too
		}
		again, err := pin.Parse("a.yaml", out)
		if err != nil {
			t.Fatalf("%q became %q: %v", src, out, err)
		}
		for _, r := range again.References {
			if r.Rewritable && r.Digest() != now {
				t.Errorf("%q became %q: %s", src, out, r.Name)
			}
		}
		if a, b := bones(t, src), bones(t, out); a != b {
			t.Errorf("%q became %q:\n%s\n%s", src, out, a, b)
		}
	})
}

// bones is a file without comments and whatever may be pinned in it.
func bones(t *testing.T, src []byte) string {
	var b strings.Builder
	for d := yaml.NewDecoder(bytes.NewReader(src)); ; {
		var n yaml.Node
		if err := d.Decode(&n); err != nil {
			return b.String()
		}
		var walk func(*yaml.Node)
		walk = func(n *yaml.Node) {
			for i := 0; i < len(n.Content); i++ {
				if n.Kind == yaml.MappingNode && i%2 == 0 {
					switch n.Content[i].Value {
					case "image", "reference", "tag", "digest", "newTag":
						if n.Content[i+1].Kind == yaml.ScalarNode {
							i++
							continue
						}
					}
				}
				fmt.Fprintf(&b, "%d %q\n", n.Content[i].Kind, n.Content[i].Value)
				walk(n.Content[i])
			}
		}
		walk(&n)
	}
}
