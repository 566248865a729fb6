package github

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"rebuilder/internal/notify"
)

// graphQLOf derives where GitHub takes GraphQL: beside the REST API of an Enterprise Server, below that of the cloud.
func graphQLOf(base *url.URL) string {
	root := strings.TrimSuffix(base.String(), "/")
	if server, ok := strings.CutSuffix(root, "/api/v3"); ok {
		return server + "/api/graphql"
	}
	return root + "/graphql"
}

// graphError is a refusal within an answer that has status 200.
type graphError struct {
	all []struct{ Type, Message string }
}

func (e *graphError) Error() string {
	words := make([]string, 0, len(e.all))
	for _, one := range e.all {
		words = append(words, one.Message)
	}
	return strings.Join(words, "; ")
}

// graphQL asks about a repository. into may be nil.
func (c *Client) graphQL(ctx context.Context, t target, document string, variables map[string]any, into any) error {
	body := map[string]any{"query": document, "variables": variables}
	req, err := c.api.NewRequest(http.MethodPost, graphQLOf(c.api.BaseURL), body)
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Type, Message string }
	}
	resp, err := c.api.Do(context.WithValue(ctx, targetKey{}, t), req, &answer)
	if err != nil {
		return err
	}
	for _, one := range answer.Errors {
		switch one.Type {
		case "RATE_LIMITED":
			return &notify.RateLimited{Until: retryTime(resp.Header, c.cfg.Now()), Cause: &graphError{answer.Errors}}
		case "NOT_FOUND":
			return fmt.Errorf("%w: %w", notify.ErrNotFound, &graphError{answer.Errors})
		}
	}
	if len(answer.Errors) > 0 {
		return &graphError{answer.Errors}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, into)
}
