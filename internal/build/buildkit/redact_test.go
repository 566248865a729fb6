package buildkit

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/build"
)

func secrets(values ...string) build.Request {
	r := build.Request{Secrets: map[string][]byte{}}
	for i, v := range values {
		r.Secrets[fmt.Sprint(i)] = []byte(v)
	}
	return r
}

func TestRedactor(t *testing.T) {
	for name, c := range map[string]struct {
		request  build.Request
		in, want string
	}{
		"none":                         {secrets(), "hunter22", "hunter22"},
		"one":                          {secrets("hunter22"), "a hunter22 b hunter22", "a *** b ***"},
		"with the line's end":          {secrets("hunter22\n"), "TOK=hunter22;", "TOK=***;"},
		"one in another":               {secrets("hunter", "hunter22"), "hunter22 hunter2", "*** ***2"},
		"one behind another's begin":   {secrets("ababac", "abab"), "abababac", "******"[:3] + "abac"},
		"a begin with another in it":   {secrets("xhunterx", "hunter"), "xhunter", "x***"},
		"lines of a long one":          {secrets("-----BEGIN KEY-----\nMIIEvQIBADAN\nab\n"), "12: MIIEvQIBADAN ab", "12: *** ab"},
		"in JSON":                      {secrets(`pass"word`), `{"a":"pass\"word"}`, `{"a":"***"}`},
		"in a URL":                     {secrets("a&b/c d"), "http://h/?t=a%26b%2Fc+d http://h/a&b%2Fc%20d", "http://h/?t=*** http://h/***"},
		"too short to be one":          {secrets("abc"), "abc", "abc"},
		"the token of a git reference": {build.Request{GitToken: "gh0-token"}, "http://x:gh0-token@h", "http://x:***@h"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newRedactor(c.request)
			if got := d.string(c.in); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			for cut := range len(c.in) { // however it comes in pieces
				s := &stream{redactor: d}
				got := string(s.next([]byte(c.in[:cut]))) + string(s.next([]byte(c.in[cut:])))
				if d != nil {
					got += string(s.rest())
				}
				if got != c.want {
					t.Errorf("cut at %d: %q, want %q", cut, got, c.want)
				}
			}
		})
	}
}

func TestRedactedError(t *testing.T) {
	d := newRedactor(secrets("hunter22"))
	e := new(build.Error)
	if err := d.error(&build.Error{Reason: "RUN hunter22", Lines: []string{"Dockerfile:1: hunter22"}, Log: []string{"ok", "hunter22"}, Cause: errors.New("at hunter22")}); !errors.As(err, &e) {
		t.Fatal(err)
	}
	if all := fmt.Sprint(e, e.Lines, e.Log, e.Cause); strings.Contains(all, "hunter22") || strings.Count(all, redacted) < 4 {
		t.Errorf("%s", all)
	}
	cause := errors.New("cause")
	if err := d.error(&build.Error{Cause: cause}); !errors.Is(err, cause) {
		t.Errorf("a cause without secrets is gone: %v", err)
	}
}

// However a text is cut into pieces, the same comes out, and no value is in it.
func FuzzStream(f *testing.F) {
	f.Add("hunter22", "ababac", "xxhunter22ababacab", uint8(3))
	f.Fuzz(func(t *testing.T, one, two, text string, size uint8) {
		d := newRedactor(secrets(one, two))
		if d == nil || strings.Contains(one+two, "*") {
			return
		}
		s := &stream{redactor: d}
		var got strings.Builder
		for rest := text; rest != ""; {
			n := min(int(size)+1, len(rest))
			got.Write(s.next([]byte(rest[:n])))
			rest = rest[n:]
		}
		got.Write(s.rest())
		if want := d.string(text); got.String() != want {
			t.Errorf("in pieces %q, at once %q", got.String(), want)
		}
		for _, v := range d.values {
			if strings.Contains(got.String(), string(v)) {
				t.Errorf("%q is in %q", v, got.String())
			}
		}
	})
}

func FuzzPlaces(f *testing.F) {
	f.Add("FROM a\nWORKDIR /\nRUN x\n", "[stage-0 2/3] RUN x")
	f.Fuzz(func(t *testing.T, src, step string) {
		if n := newPlaces([]byte(src)).line(step); n < 0 || n > strings.Count(src, "\n")+1 {
			t.Errorf("line %d", n)
		}
	})
}

func TestCheck(t *testing.T) {
	for want, r := range map[string]build.Request{
		"needs a time for what it makes":               {Reproducible: true},
		`unknown network "host"`:                       {Network: "host"},
		"limits cannot be less than nothing":           {Limits: build.Limits{Memory: -1}},
		`cache "A b"`:                                  {Cache: "A b"},
		"name it by a tag, not by a digest":            {Cache: "r/c@sha256:" + strings.Repeat("a", 64)},
		"secret rebuilder-apt-config: the engine uses": {Secrets: map[string][]byte{"rebuilder-apt-config": nil}},
		"secret GIT_AUTH_TOKEN: the engine uses":       {Secrets: map[string][]byte{"GIT_AUTH_TOKEN": nil}},
		"secret GIT_AUTH_HEADER.h: the engine uses":    {Secrets: map[string][]byte{"GIT_AUTH_HEADER.h": nil}},
		"secret x has 512001 bytes":                    {Secrets: map[string][]byte{"x": make([]byte, 500<<10+1)}},
		"argument A has the value of secret x":         {Secrets: map[string][]byte{"x": []byte("hunter22")}, Args: map[string]string{"A": "-p hunter22"}},
		"label L has the value of secret x":            {Secrets: map[string][]byte{"x": []byte("hunter22")}, Labels: map[string]string{"L": "hunter22"}},
	} {
		if err := check(r); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := check(build.Request{Cache: "r/cache:app", Secrets: map[string][]byte{"npm": []byte("hunter22"), "empty": nil}, Args: map[string]string{"A": "b"}}); err != nil {
		t.Error(err)
	}
}

func TestPlaces(t *testing.T) {
	const src = "ARG B=b\nFROM a AS Build\nWORKDIR /\nWORKDIR /x\n# why\nRUN make \\\n  all\nENV A=b\nCOPY x y\n\nFROM build\nRUN x\nADD y z\nFROM scratch AS last\nCOPY --from=1 / /\n"
	p := newPlaces([]byte(src))
	for step, want := range map[string]int{
		"[build 1/5] FROM a": 2, "[build 2/5] WORKDIR /x": 4, "[build 3/5] RUN make   all": 6, "[build 4/5] COPY x y": 9,
		"[stage-1 1/2] RUN x": 12, "[stage-1 2/2] ADD y z": 13, "[last 1/1] COPY --from=1 / /": 15,
		"[stage-1 1/3] ONBUILD RUN w": 0, "[stage-1 2/3] RUN x": 12, "[stage-1 3/3] ADD y z": 13, // something came by ONBUILD
		"[build  3/5] RUN padded": 6, "[build 3/5] COPY": 0, "[build 9/9] RUN": 0, "[other 1/1] RUN": 0, "exporting": 0, "[build 99999999999999999999/1] RUN": 0,
	} {
		if got := p.line(step); got != want {
			t.Errorf("%s: line %d, want %d", step, got, want)
		}
	}
	if got := newPlaces([]byte("FROM a\nRUN x\n")).line("[2/2] RUN x"); got != 2 {
		t.Errorf("in a single stage: line %d", got)
	}
	if got := newPlaces([]byte("FROM a AS x\nRUN x\nFROM a AS x\n\nRUN x\n")).line("[x 2/2] RUN x"); got != 0 {
		t.Errorf("of two stages of one name: line %d", got)
	}
}

func TestYounger(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, at := range map[string]time.Time{"old": epoch.Add(-time.Hour), "same": epoch} {
		if err := w.WriteHeader(&tar.Header{Name: name, ModTime: at}); err != nil {
			t.Fatal(err)
		}
	}
	if late, err := younger(bytes.NewReader(b.Bytes()), epoch); late != "" || err != nil {
		t.Errorf("%q, %v", late, err)
	}
	if err := w.WriteHeader(&tar.Header{Name: "new", ModTime: epoch.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	if late, err := younger(bytes.NewReader(b.Bytes()), epoch); late != "new" || err != nil {
		t.Errorf("%q, %v", late, err)
	}
	if _, err := younger(strings.NewReader(strings.Repeat("x", 600)), epoch); err == nil {
		t.Error("what is no tar is one")
	}
}
