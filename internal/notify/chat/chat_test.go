package chat

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"testing"

	"rebuilder/internal/golden"
)

// hostile is text that would be something else in one of the media, if it were let.
const hostile = "<!channel> <@U1> <https://evil.example|ok> *b* _i_ `c` :tada: @here [x](https://evil.example) <at>you</at> <script>alert(1)</script> &amp; ${x} {{DATE(2026)}}\r\nBcc: all@example.com\x00\u202egnp"

func running() *Message {
	return &Message{
		Rollout: "r-12ab34cd56ef-1", State: "running", Headline: "libssl3 3.0.17-1~deb12u2 -> 3.0.17-1~deb12u3 in base/debian (CVE-2026-1234) → 412 images",
		Started:  "started 02:04 UTC by automation",
		Progress: []Progress{{"bases, tier 1", 6, 6, 0}, {"bases, tier 2", 38, 40, 1}, {"applications told", 325, 366, 0}, {"on their new base", 300, 366, 2}},
		Needs: []Need{
			{"base/ruby@1", "base/ruby", "failed", "its tests failed: smoke test", "who keeps its tests", ""},
			{"payments@1", "payments", "blocked", "pull request #482 has commits by somebody else; it was left alone", "owner of acme/payments", "https://forge.example.com/acme/payments/pull/482"},
		},
		Waits: []string{"41 of 412 images wait: the freeze \"weekend\" is on; next 08:00 UTC on 23 Nov"},
		Ahead: []string{"bases rebuilt about 02:35 UTC (from 12 past builds)"},
		Page:  "https://rebuilder.example.com/", Ask: "rebuilder rollouts r-12ab34cd56ef-1",
		Links: []Link{{"acme/web #12, opened 02:10 UTC", "https://forge.example.com/acme/web/pull/12"}}, More: 40,
	}
}

func posts() map[string]Post {
	m := running()
	over := running()
	over.State, over.Waits, over.Needs, over.Links, over.More = "done", nil, nil, nil, 0
	over.Progress = []Progress{{"bases, tier 1", 6, 6, 0}, {"applications told", 366, 366, 0}, {"on their new base", 366, 366, 0}}
	over.Ahead = []string{"of 412 images 410 done, 2 unchanged; took 3 h 20 min, everywhere 4 h 1 min after the patch was published"}
	bad := &Message{Rollout: hostile, State: hostile, Headline: hostile, Reason: hostile, Started: hostile, Progress: []Progress{{hostile, 1, 2, 1}},
		Needs: []Need{{hostile, hostile, hostile, hostile, hostile, "javascript:alert(1)"}}, Waits: []string{hostile}, Ahead: []string{hostile}, Page: "https://evil.example/\"><script>", Ask: hostile,
		Links: []Link{{hostile, "https://forge.example.com/a|b>"}}}
	many := running()
	for range 30 {
		many.Needs = append(many.Needs, many.Needs[0])
	}
	title := func(p Post) Post { p.Title = "running: " + p.Message.Headline; return p }
	return map[string]Post{
		"running":         title(Post{Key: "r-12ab34cd56ef-1/rollout", Rollout: m.Rollout, Message: m}),
		"done":            title(Post{Key: "r-12ab34cd56ef-1/end", Rollout: m.Rollout, Message: over}),
		"needs":           title(Post{Key: "r-12ab34cd56ef-1/needs 1", Rollout: m.Rollout, Message: m, Note: &Note{Headline: "2 things need a person", Needs: m.Needs}}),
		"thread":          title(Post{Key: "r-12ab34cd56ef-1/tier 0", Rollout: m.Rollout, Message: m, Thread: "1.2", Note: &Note{Headline: "Tier 1 of 2 is finished: 6 of 6 bases as they should be"}}),
		"many":            title(Post{Key: "r-12ab34cd56ef-1/rollout", Rollout: m.Rollout, Message: many}),
		"hostile":         title(Post{Key: hostile, Rollout: hostile, Message: bad, Note: &Note{Headline: hostile, Needs: bad.Needs}}),
		"hostile message": title(Post{Key: hostile, Rollout: hostile, Message: bad}),
	}
}

// TestGoldens: every medium says the same facts, in its own form.
func TestGoldens(t *testing.T) {
	mail := NewMail(MailConfig{Server: "127.0.0.1:25", From: "rebuilder@example.com", To: []string{"all@example.com"}})
	for name, p := range posts() {
		t.Run(name, func(t *testing.T) {
			file := "testdata/" + strings.ReplaceAll(name, " ", "-")
			golden.Compare(t, file+".txt", p.Text())
			golden.Compare(t, file+".slack.json", indented(t, slackMessage(p)))
			golden.Compare(t, file+".teams.json", indented(t, teamsMessage(p)))
			page, err := htmlOf(p)
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, file+".html", page)
			msg, err := mail.message(p)
			if err != nil {
				t.Fatal(err)
			}
			msg.SetBoundary("golden")
			msg.SetGenHeader("Date", "Sat, 21 Nov 2026 02:04:00 +0000")
			var raw bytes.Buffer
			if _, err := msg.WriteTo(&raw); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, file+".eml", strings.ReplaceAll(raw.String(), "\r\n", "\n"))
		})
	}
}

func indented(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var tags = regexp.MustCompile(`<[^>]*>`)

// TestSameFacts: what is in the plain text is in every other form of it.
func TestSameFacts(t *testing.T) {
	for name, p := range posts() {
		page, err := htmlOf(p)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{"slack": texts(t, slackMessage(p)), "teams": texts(t, teamsMessage(p)), "html": html.UnescapeString(tags.ReplaceAllString(page, "\n")) + page}
		for _, l := range strings.Split(p.Text(), "\n") {
			l, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "- "), ": https://")
			for form, all := range forms {
				if !strings.Contains(all, l) && !strings.Contains(all, strings.TrimSuffix(l, ":")) {
					t.Errorf("%s: %s does not say %q", name, form, l)
				}
			}
		}
	}
}

// texts is every text in a document, but for those that carry the plain text as a whole.
func texts(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if s, ok := x.(string); ok && (k == "text" || k == "title" || k == "url") && !strings.Contains(s, "\n\n") {
					out = append(out, s)
				}
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return strings.Join(out, "\n")
}

// TestNothingIsMarkup: wherever a medium looks for markup, none comes from a text.
func TestNothingIsMarkup(t *testing.T) {
	for _, name := range []string{"hostile", "hostile message"} {
		p := posts()[name]
		b, err := json.Marshal(slackMessage(p))
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Text   string
			Blocks []map[string]any
		}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(m.Text, "<>") {
			t.Errorf("%s: Slack's text has markup: %s", name, m.Text)
		}
		if strings.Contains(string(b), "mrkdwn") {
			t.Errorf("%s: Slack's blocks are parsed: %s", name, b)
		}
		if card := texts(t, teamsMessage(p)); strings.Contains(string(card), "javascript:") || strings.Contains(indented(t, teamsMessage(p)), `"TextBlock"`) {
			t.Errorf("%s: the card has what is parsed: %s", name, card)
		}
		page, err := htmlOf(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page, "<script") || strings.Contains(page, "href=\"javascript") || strings.Contains(page, "<at>") {
			t.Errorf("%s: the page has markup: %s", name, page)
		}
		if strings.Contains(p.Text(), "\x00") || strings.Contains(p.Text(), "\u202e") || strings.Contains(p.Text(), "\r") || strings.Contains(p.Text(), "\nBcc") {
			t.Errorf("%s: the text has what cannot be seen: %q", name, p.Text())
		}
	}
}

func FuzzTexts(f *testing.F) {
	f.Add(hostile, "https://forge.example.com/x")
	f.Add("\xff<!here>", "http://a\nb")
	mail := NewMail(MailConfig{Server: "127.0.0.1:25", From: "rebuilder@example.com", To: []string{"all@example.com"}})
	f.Fuzz(func(t *testing.T, s, url string) {
		m := &Message{Rollout: s, State: s, Headline: s, Ask: s, Needs: []Need{{s, s, s, s, s, url}}, Links: []Link{{s, url}}, Page: url}
		p := Post{Key: s, Rollout: s, Title: s, Message: m}
		if strings.ContainsAny(slackEscape(p.Text()), "<>") {
			t.Errorf("markup in %q", p.Text())
		}
		page, err := htmlOf(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags.FindAllString(page, -1) {
			if !allowed.MatchString(tag) {
				t.Errorf("tag %q", tag)
			}
		}
		msg, err := mail.message(p)
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		if _, err := msg.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
		for _, l := range strings.Split(head, "\r\n") {
			if !strings.HasPrefix(l, " ") && !header.MatchString(l) {
				t.Errorf("header %q", l)
			}
		}
	})
}

var (
	allowed = regexp.MustCompile(`^</?(html|head|title|body|h1|h2|p|ul|li|code|a|meta)( (lang|charset|style)="[^"]*"| href="https?://[^"]*")*>$|^<!DOCTYPE html>$`)
	header  = regexp.MustCompile(`^(Date|MIME-Version|Message-ID|Subject|User-Agent|X-Mailer|From|To|Content-Type|In-Reply-To|References|Auto-Submitted|Content-Transfer-Encoding):( |$)`)
)
