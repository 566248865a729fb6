package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v57/github"
)

// Merge merges all open pull requests as a reviewer would, through the forge's API, and returns how many it merged. One that
// cannot be merged does not keep it from the others; its error is returned with the rest.
func (w *World) Merge(ctx context.Context) (int, error) {
	client, err := w.reviewer()
	if err != nil {
		return 0, err
	}
	var (
		merged int
		failed []error
	)
	for _, app := range w.catalog.Applications {
		owner, repo, _ := strings.Cut(app.Repository, "/")
		open, _, err := client.PullRequests.List(ctx, owner, repo, &github.PullRequestListOptions{
			State: "open", ListOptions: github.ListOptions{PerPage: 100},
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("list pull requests of %s: %w", app.Repository, err))
			continue
		}
		for _, pr := range open {
			_, _, err := client.PullRequests.Merge(ctx, owner, repo, pr.GetNumber(), "", &github.PullRequestOptions{
				SHA: pr.GetHead().GetSHA(), // what was reviewed, nothing else
			})
			if err != nil {
				failed = append(failed, fmt.Errorf("merge %s: %w", pr.GetHTMLURL(), err))
				continue
			}
			merged++
		}
	}
	return merged, errors.Join(failed...)
}

func (w *World) reviewer() (*github.Client, error) {
	base, err := url.Parse(w.ForgeURL + "/")
	if err != nil {
		return nil, err
	}
	client := github.NewClient(&http.Client{Timeout: 30 * time.Second}).WithAuthToken(w.state.ReviewerToken)
	client.BaseURL = base
	return client, nil
}
