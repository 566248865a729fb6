package catalog

import "slices"

// ForgeApp is the GitHub App as whom the forge is used, in place of a person's token. ID 0: there is none.
type ForgeApp struct {
	ID      int64
	KeyEnv  string // name of the environment variable that holds its private key in PEM
	KeyFile string // or a file
}

// AutoMerge says which pull requests are merged without a person.
type AutoMerge string

// When a pull request is merged without a person.
const (
	MergeNever     AutoMerge = ""
	MergeChecked   AutoMerge = "checked"   // when all its checks are green, and never when it has none
	MergeUnchecked AutoMerge = "unchecked" // also when it has none
)

const (
	usualPerMinute = 60
	usualPerHour   = 400
)

// forgeApp reads whom the forge is used as, and how much is written to it.
func (r *reader) forgeApp(t *table, f *Forge) {
	f.App.ID = int64(t.whole("app_id"))
	f.App.KeyEnv = r.variable(t, "app_key_env")
	f.App.KeyFile = t.text("app_key_file")
	f.WritesPerMinute = t.integer("writes_per_minute", usualPerMinute, 1)
	f.WritesPerHour = t.integer("writes_per_hour", usualPerHour, 1)
	key := ""
	for _, k := range []string{"app_key_env", "app_key_file"} {
		if t.has(k) {
			key = k
		}
	}
	switch {
	case !t.has("app_id") && key != "":
		t.wrong(key, "add a line such as app_id = 12345: it is on the App's page", ": %s is given without app_id", key)
	case !t.has("app_id"):
	case key == "":
		t.wrong("app_id", `add app_key_file = "secrets/app.pem", or app_key_env with the name of the variable that holds the key`, ": app_id is given without the App's private key")
	case f.App.KeyEnv != "" && f.App.KeyFile != "":
		t.wrong("app_key_file", "keep the one that you use", ": both app_key_env and app_key_file are given")
	}
	if f.App.KeyFile != "" {
		f.App.KeyFile = r.absolute(f.App.KeyFile)
	}
	for _, k := range []string{"token_env", "token_file"} {
		if t.has("app_id") && t.has(k) {
			t.wrong(k, "remove it: the App has tokens of its own, or remove app_id", ": %s is given beside app_id", k)
		}
	}
}

// whole is a positive whole number that may be a large one, as ids are; 0 when the key is missing.
func (t *table) whole(key string) int {
	v, ok := t.get(key)
	if !ok {
		return 0
	}
	n, ok := v.(int64)
	if !ok {
		t.wrongType(key, "a whole number, without quotes", "12345")
		return 0
	}
	if n < 1 {
		t.wrong(key, "it is on the App's page: app_id = 12345", ": %s cannot be %d", key, n)
		return 0
	}
	return int(n)
}

// autoMerge reads whether pull requests are merged without a person.
func (r *reader) autoMerge(t *table, strategy Strategy) AutoMerge {
	known := []string{string(MergeChecked), string(MergeUnchecked)}
	s := t.text("automerge")
	switch {
	case s == "":
	case !slices.Contains(known, s):
		t.wrong("automerge", didYouMean(s, known), ": automerge = %q is not known", s)
		return MergeNever
	case strategy != PullRequest:
		t.wrong("automerge", `add strategy = "pull-request", or remove the line`, ": automerge is for strategy pull-request, and this one is %s", strategy)
	}
	return AutoMerge(s)
}
