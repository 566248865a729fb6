package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// pause is how long to stay away when GitHub refuses without saying for how long; it asks for at least a minute.
const pause = time.Minute

// explain says what was being done, and gives an error the type that the contract promises. Nil stays nil.
func explain(what string, err error) error {
	var answer *github.ErrorResponse
	var known *notify.RateLimited
	if err == nil {
		return nil
	}
	var held *notify.Held
	var refused *notify.Refused
	if errors.As(err, &held) || errors.As(err, &refused) {
		return err
	}
	if errors.As(err, &known) || errors.Is(err, notify.ErrNotFound) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if until, limited := limitedUntil(err, time.Now()); limited {
		return fmt.Errorf("%s: %w", what, &notify.RateLimited{Until: until, Cause: err})
	}
	if errors.As(err, &answer) && answer.Response != nil {
		switch answer.Response.StatusCode {
		case http.StatusNotFound, http.StatusGone:
			return fmt.Errorf("%s: %w: %w", what, notify.ErrNotFound, err)
		case http.StatusUnauthorized:
			return fmt.Errorf("%s: the forge refuses the token (expired, revoked, or for another host?): %w", what, err)
		case http.StatusForbidden:
			return fmt.Errorf("%s: %w", what, forbidden(answer))
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// forbidden says what a 403 that is no rate limit asks of whom.
func forbidden(answer *github.ErrorResponse) *notify.Refused {
	said := strings.ToLower(answer.Message)
	switch {
	case strings.Contains(said, "archived"):
		return &notify.Refused{Reason: "the repository is archived and takes no changes", Who: "its owner", Cause: answer}
	case strings.Contains(said, "disabled"), strings.Contains(said, "access blocked"):
		return &notify.Refused{Reason: "the repository is disabled and takes no changes", Who: "its owner", Cause: answer}
	}
	const hint = "does the token have write access to contents and pull requests, is the repository archived?"
	return &notify.Refused{Reason: fmt.Sprintf("the forge forbids it (%s): %v", hint, answer), Who: "who keeps the forge's token", Cause: answer}
}

// limitedUntil recognises the rate limits, also those that go-github v57 does not: 429, and a 403 with Retry-After.
func limitedUntil(err error, now time.Time) (time.Time, bool) {
	var primary *github.RateLimitError
	var secondary *github.AbuseRateLimitError
	var answer *github.ErrorResponse
	switch {
	case errors.As(err, &primary):
		return primary.Rate.Reset.Time, true
	case errors.As(err, &secondary):
		if secondary.RetryAfter != nil {
			return now.Add(*secondary.RetryAfter), true
		}
		return now.Add(pause), true
	case errors.As(err, &answer) && answer.Response != nil:
		header := answer.Response.Header
		switch answer.Response.StatusCode {
		case http.StatusTooManyRequests:
			return retryTime(header, now), true
		case http.StatusForbidden:
			said := strings.Contains(strings.ToLower(answer.Message), "rate limit")
			return retryTime(header, now), said || header.Get("Retry-After") != ""
		}
	}
	return time.Time{}, false
}

// retryTime reads when to come back: Retry-After in seconds first, then the primary limit's reset.
func retryTime(header http.Header, now time.Time) time.Time {
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds >= 0 {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	reset, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64)
	if err == nil && header.Get("X-RateLimit-Remaining") == "0" {
		return time.Unix(reset, 0)
	}
	return now.Add(pause)
}

// status returns the answer's status, 0 when there was none.
func status(err error) int {
	var answer *github.ErrorResponse
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode
	}
	return 0
}

// says tells whether GitHub's answer has a phrase in its message or details. It has no codes for these.
func says(err error, phrase string) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && strings.Contains(answer.Error(), phrase)
}

// unsure says that a write may have been made although it failed: the answer was lost or came from a gateway, or the
// thing is there already. The way to know is to look.
func unsure(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	if _, limited := limitedUntil(err, time.Now()); limited {
		return false
	}
	code := status(err)
	return code == 0 || code >= 500 || code == http.StatusUnprocessableEntity && says(err, "already exists")
}
