package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// SlackConfig says where in Slack.
type SlackConfig struct {
	API     string // "https://slack.com/api/"
	Channel string // its id
	// Token returns the bot's token; it is asked each time, so that the token can be changed.
	Token func() (string, error)
	// Transport is http.DefaultTransport when nil.
	Transport http.RoundTripper
}

// Slack is a channel that a bot writes to: it edits what it said, and finds it again. The bot needs chat:write, and
// channels:history (groups:history in a private channel) to find what it may have said when it was cut off.
type Slack struct {
	cfg  SlackConfig
	http *http.Client
}

var _ Editor = (*Slack)(nil)

// NewSlack returns the channel; nothing is asked yet.
func NewSlack(cfg SlackConfig) *Slack { return &Slack{cfg, client(cfg.Transport)} }

// event is the type of the metadata by which a message is found again.
const event = "rebuilder_message"

func (s *Slack) api() (*slack.Client, error) {
	token, err := s.cfg.Token()
	if err != nil {
		return nil, &Error{Text: err.Error()}
	}
	return slack.New(token, slack.OptionAPIURL(s.cfg.API), slack.OptionHTTPClient(s.http)), nil
}

func (s *Slack) options(p Post) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(p.Text(), true), slack.MsgOptionBlocks(blocks(p)...), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: event, EventPayload: map[string]any{"key": p.Key}}),
	}
}

// Send posts a message, into its thread if it has one.
func (s *Slack) Send(ctx context.Context, p Post) (string, error) {
	api, err := s.api()
	if err != nil {
		return "", err
	}
	o := s.options(p)
	if p.Thread != "" {
		o = append(o, slack.MsgOptionTS(p.Thread))
		if p.Announce {
			o = append(o, slack.MsgOptionBroadcast())
		}
	}
	_, id, err := api.PostMessageContext(ctx, s.cfg.Channel, o...)
	if err != nil {
		return "", slackError(err)
	}
	return id, nil
}

// Edit changes a message.
func (s *Slack) Edit(ctx context.Context, id string, p Post) error {
	api, err := s.api()
	if err != nil {
		return err
	}
	if _, _, _, err := api.UpdateMessageContext(ctx, s.cfg.Channel, id, s.options(p)...); err != nil {
		return slackError(err)
	}
	return nil
}

const (
	page     = 200 // messages of one look
	maxPages = 5
)

// Find looks for a message by its key, in its thread if it has one.
func (s *Slack) Find(ctx context.Context, p Post, since time.Time) (string, bool, error) {
	api, err := s.api()
	if err != nil {
		return "", false, err
	}
	oldest, cursor := fmt.Sprintf("%d.000000", since.Unix()), ""
	for range maxPages {
		var all []slack.Message
		if p.Thread == "" {
			h, err := api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
				ChannelID: s.cfg.Channel, Oldest: oldest, Inclusive: true, Limit: page, Cursor: cursor, IncludeAllMetadata: true})
			if err != nil {
				return "", false, slackError(err)
			}
			all, cursor = h.Messages, h.ResponseMetaData.NextCursor
		} else {
			var err error
			if all, _, cursor, err = api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: s.cfg.Channel, Timestamp: p.Thread, Oldest: oldest, Inclusive: true, Limit: page, Cursor: cursor, IncludeAllMetadata: true}); err != nil {
				return "", false, slackError(err)
			}
		}
		for _, m := range all {
			if m.Metadata.EventType == event && m.Metadata.EventPayload["key"] == p.Key {
				return m.Timestamp, true, nil
			}
		}
		if cursor == "" {
			break
		}
	}
	return "", false, nil
}

// ways out of what Slack says most often, by its code.
var ways = map[string]string{
	"channel_not_found": "the catalog's channel must be its id, and the bot must be in it: /invite it",
	"not_in_channel":    "the bot must be in the channel: /invite it",
	"is_archived":       "the channel is archived: name another",
	"invalid_auth":      "the token is none, or of another workspace",
	"not_authed":        "there is no token",
	"token_revoked":     "the token was taken back: install the app again",
	"token_expired":     "the token has expired: install the app again",
	"account_inactive":  "the bot's account was removed: install the app again",
	"missing_scope":     "the app needs the scopes chat:write and channels:history (groups:history in a private channel)",
}

func slackError(err error) error {
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) {
		return &Error{Text: "Slack asks for patience", After: min(max(limited.RetryAfter, time.Second), maxWait)}
	}
	var status slack.StatusCodeError
	if errors.As(err, &status) {
		return &Error{Text: answered(status.Code, nil)}
	}
	var said slack.SlackErrorResponse
	if !errors.As(err, &said) {
		return &Error{Text: unaddressed(err)}
	}
	e := &Error{Text: line("Slack says "+said.Err, maxLine)}
	switch said.Err {
	case "message_not_found", "edit_window_closed", "cant_update_message", "thread_not_found":
		e.Gone = true
	}
	if w := ways[said.Err]; w != "" {
		e.Text += ": " + w
	}
	return e
}

const maxHeader = 150 // characters

// blocks are a post as Slack shows it. Header and rich text are never parsed: nothing in them can become a mention, a link or
// an emoji.
func blocks(p Post) []slack.Block {
	b := p.body()
	plain := func(s string) slack.RichTextSectionElement { return slack.NewRichTextSectionTextElement(s, nil) }
	link := func(i item) slack.RichTextSectionElement {
		if i.url == "" {
			return plain(i.text)
		}
		return slack.NewRichTextSectionLinkElement(i.url, i.text, nil)
	}
	var sections []slack.RichTextElement
	if p.Note != nil || line(b.title, maxHeader) != b.title {
		sections = append(sections, slack.NewRichTextSection(slack.NewRichTextSectionTextElement(b.title, &slack.RichTextSectionTextStyle{Bold: true})))
	}
	if len(b.facts) > 0 {
		sections = append(sections, slack.NewRichTextSection(plain(strings.Join(b.facts, "\n"))))
	}
	for _, l := range b.lists {
		sections = append(sections, slack.NewRichTextSection(slack.NewRichTextSectionTextElement("\n"+l.head, &slack.RichTextSectionTextStyle{Bold: true})))
		bullets := slack.NewRichTextList(slack.RTEListBullet, 0)
		for _, i := range l.items {
			bullets.Elements = append(bullets.Elements, slack.NewRichTextSection(link(i)))
		}
		sections = append(sections, bullets)
	}
	for _, i := range b.foot {
		sections = append(sections, slack.NewRichTextSection(link(i)))
	}
	var out []slack.Block
	if p.Note == nil {
		out = append(out, slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, line(b.title, maxHeader), false, false)))
	}
	return append(out, slack.NewRichTextBlock("", sections...))
}

// Hook takes messages at an address that is a secret, and can change none: Slack's incoming webhooks, Teams' workflows.
type Hook struct {
	address func() (string, error)
	http    *http.Client
	render  func(Post) any
}

var _ Medium = (*Hook)(nil)

// NewSlackHook is an incoming webhook of Slack. address is asked each time; transport is http.DefaultTransport when nil.
func NewSlackHook(address func() (string, error), transport http.RoundTripper) *Hook {
	return &Hook{address, client(transport), slackMessage}
}

// NewTeams is a workflow of Teams that posts what it gets.
func NewTeams(address func() (string, error), transport http.RoundTripper) *Hook {
	return &Hook{address, client(transport), teamsMessage}
}

// Send posts a message. It has no name afterwards.
func (h *Hook) Send(ctx context.Context, p Post) (string, error) {
	address, err := h.address()
	if err != nil {
		return "", &Error{Text: err.Error()}
	}
	body, err := json.Marshal(h.render(p))
	if err != nil {
		return "", err
	}
	return "", post(ctx, h.http, address, body)
}

func slackMessage(p Post) any {
	off := false
	return slack.WebhookMessage{Text: slackEscape(p.Text()), Blocks: &slack.Blocks{BlockSet: blocks(p)}, UnfurlLinks: &off, UnfurlMedia: &off}
}

// slackEscape makes text harmless where Slack looks for markup: these three begin and end all of it that calls people.
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
