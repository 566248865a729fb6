package catalog

import "slices"

// WithBots says what is done with a line of a Dockerfile that Renovate or Dependabot updates, as their configuration in the
// repository has it. with_bots
type WithBots string

const (
	// Yield leaves the line to the bot. What nobody can tell from the repository alone is proposed with a warning.
	Yield WithBots = "yield"
	// Warn proposes it, and says so in the pull request.
	Warn WithBots = "warn"
	// TakeOver proposes it, and says what to add to the bot's configuration so that it stays out.
	TakeOver WithBots = "take-over"
)

var waysWithBots = []string{string(Yield), string(Warn), string(TakeOver)}

func withBots(t *table, usual WithBots) WithBots {
	way := t.textOr("with_bots", string(usual))
	if !slices.Contains(waysWithBots, way) {
		t.wrong("with_bots", didYouMean(way, waysWithBots), ": with_bots cannot be %q", way)
		return usual
	}
	return WithBots(way)
}
