package catalog

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Chat is where people are told of rollouts: a channel, or people by e-mail. [[chat]]
type Chat struct {
	Name string
	Kind ChatKind

	// Of Slack, a bot's token and a channel: its messages are edited in place. API is Slack's, or one that speaks like it.
	Token   Secret
	Channel string
	API     string
	// Of Slack without a token, and of Teams: the address that takes messages, a secret itself.
	URL Secret

	// Of e-mail.
	Server   string // host and port
	TLS      string // "starttls", "implicit" or "none"
	User     string
	Password Secret
	From     string
	To       []string

	Line int
}

// ChatKind says how a chat is spoken to.
type ChatKind string

const (
	Slack ChatKind = "slack"
	Teams ChatKind = "teams"
	Mail  ChatKind = "mail"
)

// Secret says where the value of a secret is: an environment variable, or an absolute path. Both are empty when there is none.
type Secret struct{ Env, File string }

// Given says that there is one.
func (s Secret) Given() bool { return s != Secret{} }

// Where names the place of a secret, for messages.
func (s Secret) Where() string {
	if s.Env != "" {
		return s.Env
	}
	return s.File
}

// Subscriber is a program that is told of changes, by CloudEvents over HTTP. [[subscriber]]
type Subscriber struct {
	Name   string
	URL    string
	Secret Secret   // of the signatures
	Types  []string // patterns as of path.Match over types of events: "rebuilder.rollout.*"; empty: all
	Images []string // patterns over names of images; empty: all, and what is about no image
	Line   int
}

const (
	slackAPI   = "https://slack.com/api/"
	mostPeople = 50 // addresses of one chat
)

var (
	chatKinds    = []string{string(Slack), string(Teams), string(Mail)}
	mailTLS      = []string{"starttls", "implicit", "none"}
	hostPort     = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$`)
	eventPattern = regexp.MustCompile(`^[a-z*?.\-\[\]]+$`)
	// chatKeys are the keys of each kind; those that all kinds have are not in it.
	chatKeys = map[ChatKind][]string{
		Slack: {"token_env", "token_file", "channel", "api", "url_env", "url_file"},
		Teams: {"url_env", "url_file"},
		Mail:  {"server", "tls", "user", "password_env", "password_file", "from", "to"},
	}
)

func (r *reader) chat(t *table) Chat {
	c := Chat{Line: t.at.key.line, Name: r.entryName(t, "platform")}
	c.Kind = ChatKind(t.need("kind", string(Slack)))
	c.Token, c.URL, c.Password = r.secret(t, "token"), r.secret(t, "url"), r.secret(t, "password")
	c.Channel = t.text("channel")
	c.API = t.text("api")
	c.Server = t.text("server")
	c.TLS = t.word("tls", "way to protect mail", mailTLS)
	c.User = t.text("user")
	c.From = t.text("from")
	to, at := t.words("to", "platform@example.com")
	c.To = to
	if v, ok := t.data["url"]; ok { // who has it may write to the channel
		t.hide(v, t.at.of("url").key, "url")
		delete(t.data, "url")
	}
	t.end()
	unique(t, c.Name, r.catalog.Chats, func(o Chat) (string, int) { return o.Name, o.Line })
	if c.Kind == "" {
		return c
	}
	if !slices.Contains(chatKinds, string(c.Kind)) {
		t.wrong("kind", didYouMean(string(c.Kind), chatKinds), ": %q is no kind of chat", c.Kind)
		return c
	}
	for kind, keys := range chatKeys {
		for _, key := range keys {
			if t.has(key) && kind != c.Kind && !slices.Contains(chatKeys[c.Kind], key) {
				t.wrong(key, "remove the line", ": %s is not for %s", key, c.Kind)
			}
		}
	}
	switch c.Kind {
	case Slack:
		r.slack(t, &c)
	case Teams:
		r.needSecret(t, "url", c.URL, "REBUILDER_TEAMS_URL", "it holds the address that the workflow \"Post to a channel when a webhook request is received\" shows")
	case Mail:
		r.mail(t, &c, at)
	}
	return c
}

func (r *reader) slack(t *table, c *Chat) {
	switch {
	case c.Token.Given() && c.URL.Given():
		key := "url_env"
		if c.URL.File != "" {
			key = "url_file"
		}
		t.wrong(key, "keep the token: with it messages are edited in place", ": both a token and an address are given")
	case c.URL.Given():
		for _, key := range []string{"channel", "api"} {
			if t.has(key) {
				t.wrong(key, "remove the line", ": %s goes with a token; an incoming webhook has its own", key)
			}
		}
		return
	}
	r.needSecret(t, "token", c.Token, "REBUILDER_SLACK_TOKEN", `it holds the bot's token, xoxb-...; an incoming webhook is named by url_env, and its messages cannot be edited`)
	if c.Channel == "" && !t.has("channel") {
		t.add(t.at.key, `add a line such as channel = "C0123456789": the channel's id, at the bottom of its details`, "%s has no channel", t.name)
	}
	if c.API == "" {
		c.API = slackAPI
	}
	r.web(t, "api", c.API)
	if !strings.HasSuffix(c.API, "/") {
		c.API += "/"
	}
}

func (r *reader) mail(t *table, c *Chat, at []span) {
	if c.TLS == "" {
		c.TLS = "starttls"
	}
	for key, example := range map[string]string{"server": `"smtp.example.com:587"`, "from": `"rebuilder@example.com"`, "to": `["platform@example.com"]`} {
		if !t.has(key) {
			t.add(t.at.key, "add a line such as "+key+" = "+example, "%s has no %s", t.name, key)
		}
	}
	if c.Server != "" && !hostPort.MatchString(c.Server) {
		t.wrong("server", `a host and a port: "smtp.example.com:587"`, ": server = %q is not a mail server", c.Server)
	}
	if c.From != "" && !isMail(c.From) {
		t.wrong("from", `an address such as "rebuilder@example.com"`, ": from = %q is not an address", c.From)
	}
	for i, s := range c.To {
		if !isMail(s) {
			t.add(at[i], `an address such as "platform@example.com"`, "%s: %q is not an address", t.name, s)
		}
	}
	if len(c.To) > mostPeople {
		t.wrong("to", "make a list at the mail server, and name that", ": to has %d addresses, and %d is the most", len(c.To), mostPeople)
	}
	switch {
	case t.has("user") && !c.Password.Given() && !t.has("password_env") && !t.has("password_file"):
		t.wrong("user", `add a line such as password_env = "REBUILDER_MAIL_PASSWORD"`, ": there is a user and no password")
	case c.Password.Given() && !t.has("user"):
		t.add(t.at.key, `add a line such as user = "rebuilder"`, "%s has a password and no user", t.name)
	case c.TLS == "none" && c.Password.Given():
		t.wrong("tls", `use "starttls" or "implicit", or a server that asks for no password`, ": without TLS anybody on the way could read the password")
	}
}

// isMail says that s is a bare address that can stand in a header.
func isMail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && !strings.ContainsAny(s, "\r\n<> ")
}

// secret reads key_env and key_file.
func (r *reader) secret(t *table, key string) Secret {
	s := Secret{Env: r.variable(t, key+"_env"), File: t.text(key + "_file")}
	if s.Env != "" && s.File != "" {
		t.wrong(key+"_file", "keep the one that you use", ": both %s_env and %s_file are given", key, key)
	}
	if s.File != "" {
		s.File = r.absolute(s.File)
	}
	return s
}

func (r *reader) needSecret(t *table, key string, s Secret, example, why string) {
	if !s.Given() && !t.has(key+"_env") && !t.has(key+"_file") {
		t.add(t.at.key, "add a line such as "+key+"_env = "+quoted(example)+": "+why, "%s has no %s_env and no %s_file", t.name, key, key)
	}
}

func (r *reader) subscriber(t *table) Subscriber {
	s := Subscriber{Line: t.at.key.line, Name: r.entryName(t, "inventory")}
	s.URL = t.need("url", "https://hooks.example.com/rebuilder")
	s.Secret = r.secret(t, "secret")
	types, at := t.patterns("types", "rebuilder.rollout.*")
	s.Types = types
	s.Images = r.imagesOf(t)
	t.end()
	unique(t, s.Name, r.catalog.Subscribers, func(o Subscriber) (string, int) { return o.Name, o.Line })
	r.needSecret(t, "secret", s.Secret, "REBUILDER_INVENTORY_SECRET", "by its signature the subscriber knows who sent an event")
	for i, p := range types {
		if !eventPattern.MatchString(p) || !strings.HasPrefix(p, "rebuilder.") && !strings.HasPrefix(p, "*") {
			t.add(at[i], `such as "rebuilder.rollout.*" or "rebuilder.promoted"; docs/notifications.md lists them`, "%s: %q is no type of event", t.name, p)
		}
	}
	switch u, err := url.Parse(s.URL); {
	case s.URL == "":
	case !isWeb(s.URL) || err != nil:
		r.web(t, "url", s.URL)
	case u.User != nil || u.Fragment != "":
		t.wrong("url", "events are signed: the subscriber needs no password", ": its address has a user or a fragment")
	}
	return s
}
