package contract

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"
)

// unpack reads test data that internal/contract/recordings made.
func unpack(t *testing.T, file string, into any) {
	t.Helper()
	packed, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

type recorded struct {
	Scenario, Method, Path string
	Body                   json.RawMessage
	Status                 int
	Response               any
	Reqheaders, Headers    map[string]any
}

// unasked are recorded requests that the demo's forge does not take, each with its reason.
var unasked = map[string]string{
	"git-refs GET /git/refs/":                            "GitHub's description has it no more: matching-refs is the way",
	"branch-protection PUT /branches/main/protection":    "the demo protects branches by its own means; nothing of ours changes a protection",
	"branch-protection DELETE /branches/main/protection": "the same",
	"rename-repository PATCH /repositories/1000":         "the same as by name, which is asked",
}

// drift are members that recorded answers have and ours have not, each with its reason.
var drift = map[string]string{
	`/(closed_by|performed_via_github_app)$`: "of an issue: never set here",
	`/(temp_clone_token|use_squash_pr_title_as_default|squash_merge_commit_title|squash_merge_commit_message|merge_commit_title|merge_commit_message)$`: "settings of a repository that nothing of ours reads",
	`/topics/0$`: "the recorded repository had topics",
}

// G3: what was recorded at GitHub is answered alike: the status, every member with its type, the headers.
func TestG3RecordedExchanges(t *testing.T) {
	var all []recorded
	unpack(t, "exchanges.json.gz", &all)
	byScenario := map[string][]recorded{}
	for _, e := range all {
		byScenario[e.Scenario] = append(byScenario[e.Scenario], e)
	}
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(byScenario)) {
		t.Run(name, func(t *testing.T) { replay(t, byScenario[name], used) })
	}
	for pattern := range drift {
		if !used[pattern] {
			t.Errorf("drift %s is not needed any more", pattern)
		}
	}
}

const (
	recordedOwner = "octokit-fixture-org"
	recordedUser  = "octokit-fixture-user-a"
	recordedToken = "0000000000000000000000000000000000000001"
)

// rerun is one recorded scenario on the demo's forge.
type rerun struct {
	t     *testing.T
	forge *forge.Forge
	names *strings.Replacer // recorded commits and numbers to ours
}

func replay(t *testing.T, exchanges []recorded, used map[string]bool) {
	r := &rerun{t: t}
	var err error
	if r.forge, err = forge.New(forge.Config{Dir: t.TempDir(), BaseURL: "https://forge.example", Ephemeral: true}); err != nil {
		t.Fatal(err)
	}
	r.forge.AddUser(recordedUser, recordedToken)
	name := strings.Split(exchanges[0].Path, "/")[3]
	if err := r.forge.AddRepository(recordedOwner, name, map[string][]byte{"README.md": []byte("# hello-world")}); err != nil {
		t.Fatal(err)
	}
	r.prepare(exchanges[0].Scenario, "/repos/"+recordedOwner+"/"+name)
	for _, e := range exchanges {
		at := strings.ToUpper(e.Method) + " " + e.Path
		if _, skip := unasked[e.Scenario+" "+strings.Replace(at, "/repos/"+recordedOwner+"/"+name, "", 1)]; skip {
			continue
		}
		r.compare(at, e, used)
	}
}

// prepare gives the repository what the recorded one had before.
func (r *rerun) prepare(scenario, repo string) {
	sha := func(answer *httptest.ResponseRecorder, path ...string) string {
		var v any
		r.must(json.Unmarshal(answer.Body.Bytes(), &v))
		for _, name := range path {
			v = v.(map[string]any)[name]
		}
		return fmt.Sprint(v)
	}
	first := sha(r.send("GET", repo+"/git/ref/heads/main", nil), "object", "sha")
	tree := sha(r.send("GET", repo+"/git/commits/"+first, nil), "tree", "sha")
	second := sha(r.send("POST", repo+"/git/commits", []byte(`{"message":"second","tree":"`+tree+`","parents":["`+first+`"]}`)), "sha")
	id := sha(r.send("GET", repo, nil), "id")
	r.names = strings.NewReplacer(strings.Repeat("0", 39)+"1", second, strings.Repeat("0", 39)+"2", first, "/repositories/1000", "/repositories/"+id)
	switch scenario {
	case "paginate-issues":
		for i := range 13 {
			r.send("POST", repo+"/issues", fmt.Appendf(nil, `{"title":"Test issue %d"}`, i))
		}
	case "labels":
		r.send("POST", repo+"/labels", []byte(`{"name":"bug","color":"d73a4a","description":"Something isn't working"}`))
	}
}

func (r *rerun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rerun) send(method, path string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, bytes.NewReader(body))
	req.Header.Set("Authorization", "token "+recordedToken)
	answer := httptest.NewRecorder()
	r.forge.ServeHTTP(answer, req)
	return answer
}

func (r *rerun) compare(at string, e recorded, used map[string]bool) {
	body := []byte(r.names.Replace(string(e.Body)))
	if string(body) == `""` {
		body = nil
	}
	req := httptest.NewRequest(strings.ToUpper(e.Method), r.names.Replace(e.Path), bytes.NewReader(body))
	req.Header.Set("Authorization", "token "+recordedToken)
	req.Header.Set("Accept", fmt.Sprint(e.Reqheaders["accept"]))
	answer := httptest.NewRecorder()
	r.forge.ServeHTTP(answer, req)
	if answer.Code != e.Status {
		r.t.Errorf("%s: %d, GitHub answered %d: %s", at, answer.Code, e.Status, answer.Body)
		return
	}
	for name := range e.Headers {
		if answer.Header().Get(name) == "" && (name != "content-type" || e.Status != http.StatusNoContent) {
			r.t.Errorf("%s: header %s is missing", at, name)
		}
	}
	var got any
	if answer.Body.Len() > 0 && json.Unmarshal(answer.Body.Bytes(), &got) != nil {
		got = answer.Body.String()
	}
	theirs, ours := map[string]string{}, map[string]string{}
	shape(e.Response, "", theirs)
	shape(got, "", ours)
	for _, path := range slices.Sorted(maps.Keys(theirs)) {
		if alike(theirs[path], ours[path]) || drifted(path, used) {
			continue
		}
		r.t.Errorf("%s: %s is %s, was %s at GitHub", at, path, orMissing(ours[path]), theirs[path])
	}
}

func orMissing(kind string) string {
	if kind == "" {
		return "missing"
	}
	return kind
}

// alike says whether two types may be of one member: null is of any.
func alike(theirs, ours string) bool {
	return ours != "" && (theirs == ours || theirs == "null" || ours == "null" || theirs == "empty" || ours == "empty")
}

func drifted(path string, used map[string]bool) bool {
	for pattern := range drift {
		if regexp.MustCompile(pattern).MatchString(path) {
			used[pattern] = true
			return true
		}
	}
	return false
}

// shape lists the members of a document with their types; of a list it takes the first item.
func shape(v any, at string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		into[at] = "object"
		for name, item := range v {
			shape(item, at+"/"+name, into)
		}
	case []any:
		into[at] = "list"
		if len(v) > 0 {
			shape(v[0], at+"/0", into)
		}
	case nil:
		into[at] = "null"
	case string:
		into[at] = "string"
	case bool:
		into[at] = "bool"
	default:
		into[at] = "number"
	}
}
