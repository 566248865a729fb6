package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"rebuilder/internal/schedule"
)

const usualDiscovery = 6 * time.Hour

func (r *reader) discovery(t *table) Discovery {
	d := Discovery{Interval: t.duration("interval", usualDiscovery, false)}
	at := map[string][]span{}
	d.Registries, at["registries"] = t.words("registries", "registry.example.com")
	d.Organizations, at["organizations"] = t.words("organizations", "acme")
	d.Include, _ = t.patterns("include", "apps/*")
	d.Exclude, _ = t.patterns("exclude", "*/cache")
	t.end()
	if t.data == nil {
		return Discovery{}
	}
	for i, s := range d.Registries {
		r.registryAddress(t, s, at["registries"][i])
		registryOverlap(t, s, d.Registries[:i], at["registries"][i])
	}
	for i, s := range d.Organizations {
		if !organizationName.MatchString(s) {
			t.add(at["organizations"][i], `as on the forge, without its address and without a repository: "acme"`, "%s: %q is not an organization", t.name, s)
		}
		if first := slices.IndexFunc(d.Organizations[:i], func(o string) bool { return strings.EqualFold(o, s) }); first >= 0 {
			t.add(at["organizations"][i], "remove one of them: to the forge they are one", "%s: organizations names %q twice, once as %q", t.name, s, d.Organizations[first])
		}
	}
	if !d.On() && len(t.missing) == 0 && !t.has("registries") && !t.has("organizations") {
		t.add(t.at.key, `name a place, registries = ["registry.example.com"] or organizations = ["acme"], or remove the table`, "%s has nowhere to look", t.name)
	}
	return d
}

var organizationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)

// registryAddress checks a registry's host and, if there is one, the path in it.
func (r *reader) registryAddress(t *table, s string, at span) {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		t.add(at, fmt.Sprintf("write %q", strings.TrimSuffix(rest, "/")), "%s: %q is a URL, not a registry", t.name, s)
		return
	}
	host, prefix, _ := strings.Cut(s, "/")
	if _, err := name.NewRegistry(host, name.StrictValidation); err != nil || !isHost(host) || prefix != "" && !repositoryPath.MatchString(prefix) || strings.HasSuffix(s, "/") {
		t.add(at, `a host and, if you like, a path: "registry.example.com" or "registry.example.com/team"`, "%s: %q is not the address of a registry", t.name, s)
	}
}

// registryOverlap notes a part of a registry that is walked as a part of another place, too: what is in both can only be
// found in one of them.
func registryOverlap(t *table, s string, before []string, at span) {
	for _, o := range before {
		part, whole := s, o
		if len(part) < len(whole) {
			part, whole = whole, part
		}
		if strings.HasPrefix(part, strings.TrimSuffix(whole, "/")+"/") {
			t.add(at, "keep the one that you mean; include and exclude choose inside of it", "%s: %q is a part of %q", t.name, part, whole)
			return
		}
	}
}

func (r *reader) refresh(t *table) Refresh {
	f := Refresh{Schedule: t.text("schedule"), Timezone: t.textOr("timezone", "UTC"), Jitter: t.duration("jitter", 10*time.Minute, true)}
	t.end()
	if _, err := schedule.Zone(f.Timezone); err != nil {
		t.wrong("timezone", `the name of a place in the time zone database: "Europe/Berlin", "America/New_York", or "UTC"`, ": there is no time zone %q", f.Timezone)
		f.Timezone = "UTC"
	}
	if f.Schedule == "" {
		return f
	}
	if _, err := schedule.Parse(f.Schedule, f.Timezone, f.Jitter, ""); err != nil {
		t.wrong("schedule", `minute, hour, day of the month, month, day of the week: "0 3 * * *" is each night at three; or "@daily", "@weekly"`,
			": schedule = %q is not a schedule: %s", f.Schedule, err)
		f.Schedule = ""
	}
	return f
}

var (
	webhookKinds = []string{string(FromRegistry), string(FromHarbor), string(FromGHCR), string(FromGitHub)}
	webhookName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

func (r *reader) webhook(t *table) Webhook {
	w := Webhook{Line: t.at.key.line, Name: t.need("name", "harbor")}
	if w.Name != "" {
		t.name = fmt.Sprintf("webhook %q", w.Name)
	}
	w.Kind = WebhookKind(t.need("kind", string(FromRegistry)))
	w.SecretEnv = r.variable(t, "secret_env")
	w.SecretFile = t.text("secret_file")
	t.end()
	if w.Kind != "" && !slices.Contains(webhookKinds, string(w.Kind)) {
		t.wrong("kind", didYouMean(string(w.Kind), webhookKinds), ": %q is no kind of webhook", w.Kind)
	}
	r.webhookName(t, w)
	r.webhookSecret(t, &w)
	return w
}

func (r *reader) webhookName(t *table, w Webhook) {
	switch first := slices.IndexFunc(r.catalog.Webhooks, func(o Webhook) bool { return o.Name == w.Name }); {
	case w.Name == "":
	case !webhookName.MatchString(w.Name):
		t.wrong("name", `small letters, digits and - : it is the last part of its address, /webhooks/harbor`, ": name = %q cannot be part of an address", w.Name)
	case w.Name == "github":
		t.wrong("name", `give it another name, such as "github-packages"`, ": /webhooks/github is that of [forge] webhook_secret_env")
	case first >= 0:
		t.wrong("name", "give this one a name of its own: name = "+quoted(w.Name+"-2"), ": the name %q is taken by the webhook on line %d", w.Name, r.catalog.Webhooks[first].Line)
	}
}

func (r *reader) webhookSecret(t *table, w *Webhook) {
	switch {
	case w.SecretEnv != "" && w.SecretFile != "":
		t.wrong("secret_file", "keep the one that you use", ": both secret_env and secret_file are given")
	case !t.has("secret_env") && !t.has("secret_file"):
		t.add(t.at.key, `add a line such as secret_env = "REBUILDER_WEBHOOK_SECRET": without a secret anybody could send`, "%s has no secret", t.name)
	case w.SecretFile != "":
		w.SecretFile = r.absolute(w.SecretFile)
	}
}
