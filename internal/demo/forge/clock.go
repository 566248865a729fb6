package forge

import (
	"net/http"
	"strconv"
	"time"
)

// Limits are how much one caller (a user, or an installation of an App) may ask. Zero members limit nothing. The times
// are those of Config.Now, so that a test lives hours in seconds.
type Limits struct {
	PerHour          int // requests in an hour that begins with the first; the primary limit
	PointsPerMinute  int // one for a read, five for a write; the first secondary limit
	ContentPerMinute int // writes in any minute; the second
	ContentPerHour   int // writes in any hour; the third
}

// GitHubLimits are those that GitHub's documentation gives for github.com. It does not say which writes create content;
// here all do.
func GitHubLimits() Limits {
	return Limits{PerHour: 5000, PointsPerMinute: 900, ContentPerMinute: 80, ContentPerHour: 500}
}

// Usage is what one caller asked for so far.
type Usage struct {
	Requests, Writes                     int // answered; refused ones are not among them
	RefusedByPrimary, RefusedBySecondary int
	MostPerMinute, MostPerHour           int // writes in the fullest minute and hour
}

// Usage returns what a caller asked for: a user's login, or an App's slug with "[bot]".
func (f *Forge) Usage(login string) Usage {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.meters[login]; m != nil {
		return m.usage
	}
	return Usage{}
}

// meter counts one caller's requests.
type meter struct {
	usage Usage
	begun time.Time // of the primary limit's hour
	used  int
	calls []metered // of the last minute
	wrote []time.Time
}

type metered struct {
	at     time.Time
	points int
}

func (f *Forge) meter(login string) *meter {
	m := f.meters[login]
	if m == nil {
		m = &meter{}
		f.meters[login] = m
	}
	return m
}

// forget drops what is older than the windows.
func (m *meter) forget(now time.Time) {
	if now.Sub(m.begun) >= time.Hour {
		m.begun, m.used = now, 0
	}
	for len(m.calls) > 0 && now.Sub(m.calls[0].at) >= time.Minute {
		m.calls = m.calls[1:]
	}
	for len(m.wrote) > 0 && now.Sub(m.wrote[0]) >= time.Hour {
		m.wrote = m.wrote[1:]
	}
}

// lastMinute counts the writes of the last minute.
func (m *meter) lastMinute(now time.Time) int {
	n := 0
	for i := len(m.wrote) - 1; i >= 0 && now.Sub(m.wrote[i]) < time.Minute; i-- {
		n++
	}
	return n
}

func (m *meter) points() int {
	sum := 0
	for _, c := range m.calls {
		sum += c.points
	}
	return sum
}

// take counts a request, or refuses it.
func (m *meter) take(limits Limits, now time.Time, write bool) (refusal, bool) {
	m.forget(now)
	over := func(have, limit int) bool { return limit > 0 && have >= limit }
	if over(m.used, limits.PerHour) {
		m.usage.RefusedByPrimary++
		return refusal{status: http.StatusForbidden, primary: true, reset: m.begun.Add(time.Hour)}, true
	}
	cost := 1
	if write {
		cost = 5
	}
	minute := m.lastMinute(now)
	if over(m.points()+cost-1, limits.PointsPerMinute) ||
		write && (over(minute, limits.ContentPerMinute) || over(len(m.wrote), limits.ContentPerHour)) {
		m.usage.RefusedBySecondary++
		return refusal{status: http.StatusForbidden, after: m.free(limits, now, cost, write)}, true
	}
	m.used++
	m.usage.Requests++
	m.calls = append(m.calls, metered{now, cost})
	if write {
		m.wrote = append(m.wrote, now)
		m.usage.Writes++
		m.usage.MostPerMinute = max(m.usage.MostPerMinute, minute+1)
		m.usage.MostPerHour = max(m.usage.MostPerHour, len(m.wrote))
	}
	return refusal{}, false
}

// free is how long it takes until the windows have room again, at least a minute, as GitHub tells.
func (m *meter) free(limits Limits, now time.Time, cost int, write bool) time.Duration {
	wait := time.Minute
	if write && limits.ContentPerHour > 0 && len(m.wrote) >= limits.ContentPerHour {
		wait = max(wait, m.wrote[len(m.wrote)-limits.ContentPerHour].Add(time.Hour).Sub(now))
	}
	return wait
}

// refund gives back a request that was answered by 304, which GitHub does not count.
func (m *meter) refund() {
	if m.used > 0 {
		m.used--
	}
}

// refusal is how GitHub says that somebody asks too much.
type refusal struct {
	status  int
	primary bool
	reset   time.Time     // of the primary limit
	after   time.Duration // Retry-After; zero sends none
}

func (r refusal) reply(login string) reply {
	message := "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
	p := problem{
		Message: message, Status: strconv.Itoa(r.status),
		DocumentationURL: "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits",
	}
	out := reply{status: r.status, header: http.Header{}}
	if r.primary {
		p.Message = "API rate limit exceeded for " + login + "."
		p.DocumentationURL = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"
		out.header.Set("X-RateLimit-Remaining", "0")
		out.header.Set("X-RateLimit-Reset", strconv.FormatInt(r.reset.Unix(), 10))
	}
	if r.after > 0 {
		seconds := (r.after + time.Second - 1) / time.Second
		out.header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	out.body = p
	return out
}
