package dockerfile

import (
	"bytes"
	"strings"
	"testing"
)

const newDigest = "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

func pinned(name string) string {
	before, _, _ := strings.Cut(name, "@")
	return before + "@" + newDigest
}

// checkRewrites pins each reference alone and all together, and holds the result to what Rewrite promises.
func checkRewrites(t testing.TB, f *File) {
	t.Helper()
	same, err := f.Rewrite(func(Reference) (string, bool) { return "", false })
	if err != nil || !bytes.Equal(same, f.src) {
		t.Fatalf("no change changed the file: %v\n%q", err, same)
	}
	for i, r := range f.References {
		if r.Stage == "" {
			checkRewrite(t, f, i)
		}
	}
	all := func(r Reference) (string, bool) { return pinned(r.Name), r.Rewritable }
	out, err := f.Rewrite(all)
	if err != nil {
		return // two references that exclude each other
	}
	again, err := Parse(f.Path, out, f.args)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := again.Rewrite(all)
	if err != nil || !bytes.Equal(out, twice) {
		t.Errorf("rewriting twice is not rewriting once: %v\n%q\n%q", err, out, twice)
	}
}

func checkRewrite(t testing.TB, f *File, i int) {
	t.Helper()
	r := f.References[i]
	out, err := f.Rewrite(func(x Reference) (string, bool) { return pinned(x.Name), x == r })
	switch {
	case !r.Rewritable:
		if err == nil || !strings.Contains(err.Error(), r.Why) {
			t.Errorf("line %d: %s is not rewritable (%s), error %v", r.Line, r.Raw, r.Why, err)
		}
		return
	case err != nil:
		// Another reference stands in the same bytes, or the name was odd before: both are said, nothing is changed.
		for _, reason := range []string{"would also turn", "is not an image reference", "make it begin with"} {
			if strings.Contains(err.Error(), reason) {
				return
			}
		}
		t.Errorf("line %d: %s: %v", r.Line, r.Raw, err)
		return
	}
	if !bytes.HasPrefix(out, f.src[:r.Start]) || !bytes.HasSuffix(out, f.src[r.End:]) {
		t.Errorf("line %d: %s: bytes outside %d to %d have changed\n%q", r.Line, r.Raw, r.Start, r.End, out)
	}
	again, err := Parse(f.Path, out, f.args)
	if err != nil {
		t.Fatal(err)
	}
	for k, x := range again.References {
		want := f.References[k].Name
		if k == i {
			want = pinned(r.Name)
		}
		if x.Name != want {
			t.Errorf("line %d: %s became %q, want %q", x.Line, x.Raw, x.Name, want)
		}
	}
}

func to(name string) func(Reference) (string, bool) {
	return func(Reference) (string, bool) { return name, true }
}

func each(names map[string]string) func(Reference) (string, bool) {
	return func(r Reference) (string, bool) { name, ok := names[r.Name]; return name, ok }
}

func TestRewriteRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		src    string
		change func(Reference) (string, bool)
		want   string
	}{
		"what is not rewritable":      {"ARG A\nFROM $A\n", to("debian:12"), "Dockerfile:2: $A cannot be rewritten: ARG A has no default"},
		"what is no reference":        {"FROM debian\n", to("debian:12 AS x"), `"debian:12 AS x" is not an image reference`},
		"an injected line":            {"FROM debian\n", to("debian\nRUN true"), "is not an image reference"},
		"another registry":            {"ARG R=a.example.com\nFROM $R/base:1\n", to("b.example.com/base:1"), "its variables make it begin with a.example.com"},
		"a tag that two images share": {"ARG T=1\nFROM a:$T AS x\nFROM b:$T\n", each(map[string]string{"a:1": "a:2"}), "would also turn b:$T from b:1 into b:2"},
		"two answers for one ARG":     {"ARG T=1\nFROM a:$T AS x\nFROM b:$T\n", each(map[string]string{"a:1": "a:2", "b:1": "b:3"}), "shared by references that are to become different"},
		"a name that is scratch":      {"FROM debian\n", to("scratch"), "would have 0 references, not 1"},
		"a name that is a stage":      {"FROM debian:12 AS a\nFROM busybox\n", each(map[string]string{"busybox": "a"}), "would also turn"},
		"a platform that is a name":   {"ARG X=arm64\nFROM --platform=$X $X\n", each(map[string]string{"arm64": "amd64"}), "would also turn $X from linux/arm64 into linux/amd64"},
		"a name that is a number":     {"FROM debian:12 AS a\nCOPY --from=busybox / /\n", each(map[string]string{"busybox": "0"}), "would also turn"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("Dockerfile", []byte(tc.src), nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := f.Rewrite(tc.change)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q; result %q", err, tc.want, out)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	const pin = "@" + newDigest
	for name, tc := range map[string]struct {
		src    string
		change func(Reference) (string, bool)
		want   string
	}{
		"an ARG that several share": {
			"ARG BASE=a:1\nFROM $BASE AS b\nFROM ${BASE}\nCOPY --from=b / /\nCOPY --from=a:1 / /\n",
			each(map[string]string{"a:1": "a:2"}),
			"ARG BASE=a:2\nFROM $BASE AS b\nFROM ${BASE}\nCOPY --from=b / /\nCOPY --from=a:2 / /\n",
		},
		"a tag held by an ARG": {
			"ARG REG=r.example.com\nARG TAG=17\nFROM ${REG}/java:${TAG}\n",
			to("r.example.com/java:17" + pin),
			"ARG REG=r.example.com\nARG TAG=17" + pin + "\nFROM ${REG}/java:${TAG}\n",
		},
		"a reference behind a registry": {
			"ARG REG=r.example.com\nFROM ${REG}/java:17\n",
			to("r.example.com/java:17" + pin),
			"ARG REG=r.example.com\nFROM ${REG}/java:17" + pin + "\n",
		},
		"a tag beside a digest, for a platform": {
			"ARG P=linux/arm64\nFROM --platform=$P r.example.com:5000/java:17@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef AS x\n",
			to("r.example.com:5000/java:17" + pin),
			"ARG P=linux/arm64\nFROM --platform=$P r.example.com:5000/java:17" + pin + " AS x\n",
		},
		"a composed name with a digest, for the builder": {
			"ARG REG=r.example.com\nARG TAG=17@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nFROM --platform=${BUILDPLATFORM} ${REG}/java:${TAG}\n",
			to("r.example.com/java:17" + pin),
			"ARG REG=r.example.com\nARG TAG=17" + pin + "\nFROM --platform=${BUILDPLATFORM} ${REG}/java:${TAG}\n",
		},
		"quotes stay": {
			"FROM \"java:17\"\nCOPY --from='tools:1' /a /a\n",
			each(map[string]string{"java:17": "java:18", "tools:1": "tools:2"}),
			"FROM \"java:18\"\nCOPY --from='tools:2' /a /a\n",
		},
		"line ends stay": {
			"\ufeffFROM java:17 \\\r\n\tAS x\r\n",
			to("java:18"),
			"\ufeffFROM java:18 \\\r\n\tAS x\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse("Dockerfile", []byte(tc.src), nil)
			if err != nil {
				t.Fatal(err)
			}
			out, err := f.Rewrite(tc.change)
			if err != nil || string(out) != tc.want {
				t.Errorf("%v, got\n%q\nwant\n%q", err, out, tc.want)
			}
		})
	}
}

// FuzzRewrite: whatever the bytes and the new name, a rewrite is refused, or changes the bytes of that one reference and
// parses to the new name with all others as they were; done again it changes nothing.
func FuzzRewrite(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, uint(0), "registry.example.com/base:2@"+newDigest)
		f.Add(s.src, uint(1), "busybox")
	}
	f.Fuzz(func(t *testing.T, src []byte, which uint, name string) {
		file, err := Parse("Dockerfile", src, nil)
		if err != nil || len(file.References) == 0 {
			return
		}
		checkRewrites(t, file)
		i := int(which % uint(len(file.References)))
		was := file.References[i]
		change := func(r Reference) (string, bool) { return name, r.Line == was.Line && r.Raw == was.Raw }
		out, err := file.Rewrite(change)
		if err != nil || was.Stage != "" {
			return
		}
		again, err := Parse("Dockerfile", out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.References[i].Name; got != name {
			t.Fatalf("%+v became %q, not %q", was, got, name)
		}
		if len(again.References) != len(file.References) {
			t.Fatalf("%d references became %d", len(file.References), len(again.References))
		}
		twice, err := again.Rewrite(func(r Reference) (string, bool) { return r.Name, true })
		if err != nil || !bytes.Equal(twice, out) {
			t.Fatalf("naming it as it is named: %v\n%q\n%q", err, out, twice)
		}
	})
}
