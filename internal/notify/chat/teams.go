package chat

// An Adaptive Card, as far as it is used here: https://adaptivecards.io, version 1.5, the newest that Teams shows on phones.
// All text is in text runs, in which no markdown is read.
type (
	card struct {
		Type    string    `json:"type"`
		Schema  string    `json:"$schema"`
		Version string    `json:"version"`
		Body    []element `json:"body"`
		Actions []action  `json:"actions,omitempty"`
		Teams   teams     `json:"msteams"`
		Speak   string    `json:"fallbackText"` // the same facts where no card can be shown
	}
	teams struct {
		Width string `json:"width"`
	}
	element struct {
		Type    string `json:"type"`
		Inlines []run  `json:"inlines"`
		Spacing string `json:"spacing,omitempty"`
	}
	run struct {
		Type   string  `json:"type"`
		Text   string  `json:"text"`
		Weight string  `json:"weight,omitempty"`
		Size   string  `json:"size,omitempty"`
		Select *action `json:"selectAction,omitempty"`
	}
	action struct {
		Type  string `json:"type"`
		Title string `json:"title,omitempty"`
		URL   string `json:"url"`
	}
)

// teamsMessage is what a workflow of Teams posts: one card.
func teamsMessage(p Post) any {
	b := p.body()
	c := card{Type: "AdaptiveCard", Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Version: "1.5", Teams: teams{"Full"}, Speak: p.Text()}
	say := func(spacing string, runs ...run) {
		for i := range runs {
			runs[i].Type = "TextRun"
		}
		c.Body = append(c.Body, element{"RichTextBlock", runs, spacing})
	}
	say("", run{Text: b.title, Weight: "Bolder", Size: "Medium"})
	for _, f := range b.facts {
		say("Small", run{Text: f})
	}
	for _, l := range b.lists {
		say("Medium", run{Text: l.head, Weight: "Bolder"})
		for _, i := range l.items {
			r := run{Text: i.text}
			if i.url != "" {
				r.Select = &action{Type: "Action.OpenUrl", URL: i.url}
			}
			say("Small", run{Text: "• "}, r)
		}
	}
	for _, i := range b.foot {
		if i.url != "" {
			c.Actions = append(c.Actions, action{"Action.OpenUrl", i.text, i.url})
			continue
		}
		say("Medium", run{Text: i.text})
	}
	return map[string]any{"type": "message", "attachments": []any{
		map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": c},
	}}
}
