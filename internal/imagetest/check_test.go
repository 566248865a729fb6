package imagetest_test

import (
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/imagetest"
)

func patterns(texts ...string) (out []*regexp.Regexp) {
	for _, t := range texts {
		out = append(out, regexp.MustCompile(t))
	}
	return out
}

func check(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("%s: got %q, want %q", what, text, want)
	}
}

func TestCommandProblems(t *testing.T) {
	c := imagetest.Command{ExitCode: 2, ExpectedOutput: patterns("^out", "put$"), ExcludedOutput: patterns("b+ad"), ExpectedError: patterns("err"), ExcludedError: patterns("^$")}
	check(t, "as expected", c.Problems(2, "output", "error"), "")
	check(t, "all wrong", c.Problems(0, "put bbad", ""),
		`it exited with 0, not with 2; standard output has no match of "^out": "put bbad"; standard output has no match of "put$": "put bbad"; `+
			`standard output has a match of "b+ad": "bbad"; standard error has no match of "err": ""; standard error has a match of "^$": ""`)
	if p := c.Problems(2, "output", strings.Repeat("x", 1000)); len(p) != 1 || len(p[0]) > 400 || !strings.HasSuffix(p[0], " and so on") {
		t.Errorf("%q", p)
	}
}

func TestFileExistenceProblems(t *testing.T) {
	st := &imagetest.Stat{Mode: fs.ModeDir | fs.ModeSticky | 0o774, UID: 1, GID: 2}
	anyone := imagetest.FileExistence{Path: "/a", ShouldExist: true, UID: -1, GID: -1}
	with := func(change func(*imagetest.FileExistence)) imagetest.FileExistence {
		f := anyone
		change(&f)
		return f
	}
	check(t, "there", anyone.Problems(st), "")
	check(t, "not there", anyone.Problems(nil), "/a is not there")
	none := with(func(f *imagetest.FileExistence) { f.ShouldExist, f.Permissions = false, "drwxrwxrwx" })
	check(t, "should not be there", none.Problems(st), "/a is there")
	check(t, "should not be there and is not", none.Problems(nil), "")
	check(t, "as expected", with(func(f *imagetest.FileExistence) {
		f.Permissions, f.UID, f.GID, f.ExecutableBy = "dtrwxrwxr--", 1, 2, "any"
	}).Problems(st), "")
	check(t, "all wrong", with(func(f *imagetest.FileExistence) {
		f.Permissions, f.UID, f.GID, f.ExecutableBy = "drwxrwxr-x", 0, 0, "other"
	}).Problems(st), "/a has the permissions dtrwxrwxr--, not drwxrwxr-x; /a belongs to user 1, not 0; /a belongs to group 2, not 0; /a is not executable by other: dtrwxrwxr--")
	check(t, "by owner", with(func(f *imagetest.FileExistence) { f.ExecutableBy = "owner" }).Problems(&imagetest.Stat{Mode: 0o077}), "/a is not executable by owner: ----rwxrwx")
	check(t, "by group", with(func(f *imagetest.FileExistence) { f.ExecutableBy = "group" }).Problems(&imagetest.Stat{Mode: 0o707}), "/a is not executable by group: -rwx---rwx")
}

func TestMetadataProblems(t *testing.T) {
	image := ocispecs.ImageConfig{
		User: "app", Env: []string{"A=1", "EMPTY=", "EQUAL=a=b", "ODD"}, Entrypoint: []string{"/app"}, WorkingDir: "/srv",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}}, Volumes: map[string]struct{}{"/data": {}},
		Labels: map[string]string{"vendor": "us"},
	}
	var none []string
	check(t, "nothing asked", imagetest.Metadata{}.Problems(image), "")
	check(t, "as expected", imagetest.Metadata{
		Env:        []imagetest.Variable{{Key: "A", Value: "1"}, {Key: "EMPTY"}, {Key: "EQUAL", Value: "a=b"}, {Key: "A", Value: `\d`, Pattern: regexp.MustCompile(`\d`)}},
		UnboundEnv: []string{"B"}, Labels: []imagetest.Variable{{Key: "vendor", Value: "us"}}, Entrypoint: &[]string{"/app"}, Cmd: &none,
		ExposedPorts: []string{"8080", "8080/tcp", "53"}, UnexposedPorts: []string{"80"}, Volumes: []string{"/data"}, UnmountedVolumes: []string{"/"},
		WorkingDir: "/srv", User: "app",
	}.Problems(image), "")
	check(t, "all wrong", imagetest.Metadata{
		Env: []imagetest.Variable{{Key: "A", Value: "2"}, {Key: "C"}, {Key: "A", Pattern: regexp.MustCompile(`x`)}}, UnboundEnv: []string{"EMPTY"},
		Labels: []imagetest.Variable{{Key: "vendor", Value: "them"}}, Entrypoint: &none, Cmd: &[]string{"a", "b"},
		ExposedPorts: []string{"80"}, UnexposedPorts: []string{"8080"}, Volumes: []string{"/"}, UnmountedVolumes: []string{"/data"},
		WorkingDir: "/", User: "root",
	}.Problems(image), `environment variable A is "1", not "2"; environment variable C is not set; environment variable A has no match of "x": "1"; `+
		`environment variable EMPTY is set; label vendor is "us", not "them"; entrypoint is ["/app"], not []; cmd is [], not ["a" "b"]; `+
		`workdir is "/srv", not "/"; user is "app", not "root"; port 80 is not declared; port 8080 is declared; volume / is not declared; volume /data is declared`)
	check(t, "no ports", imagetest.Metadata{ExposedPorts: []string{"80"}}.Problems(ocispecs.ImageConfig{}), "port 80 is not declared")
}

func TestForbids(t *testing.T) {
	for text, want := range map[string]string{"GPL": "", "under the aGPL": "AGPL", "wtfpl": "WTFPL"} {
		if got := (imagetest.License{}).Forbids(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	base := []string{"PATH=/bin", "A=1"}
	variables := []imagetest.Variable{{Key: "PATH", Value: "/opt:$PATH"}, {Key: "B", Value: "${A}$PATH$NONE"}, {Key: "A", Value: "2"}}
	for expand, want := range map[bool][]string{
		true:  {"PATH=/opt:/bin", "B=1/bin", "A=2"},
		false: {"PATH=/opt:$PATH", "B=${A}$PATH$NONE", "A=2"},
	} {
		if got := imagetest.Environment(base, variables, expand); !reflect.DeepEqual(got, want) {
			t.Errorf("expand %v: %q", expand, got)
		}
	}
	if !reflect.DeepEqual(base, []string{"PATH=/bin", "A=1"}) {
		t.Errorf("the image's own has changed: %q", base)
	}
	if got := imagetest.Expand("$A ${PATH} $NONE.", base); got != "1 /bin ." {
		t.Errorf("%q", got)
	}
}

func TestReport(t *testing.T) {
	r := &imagetest.Report{}
	if r.Passed() {
		t.Error("no tests have passed")
	}
	r.Results = []imagetest.Result{{Name: "a", Passed: true}}
	if !r.Passed() || len(r.Failed()) != 0 {
		t.Error("all have passed")
	}
	r.Results = append(r.Results, imagetest.Result{Name: "b"})
	if r.Passed() || len(r.Failed()) != 1 {
		t.Error("one has failed")
	}
}
