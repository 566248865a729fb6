package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Events calls f with each event of the daemon, the first of which comes at once, until f returns an error or the connection
// ends: with f's error, or with an Unreachable.
func (c *Client) Events(ctx context.Context, f func(Changed) error) error {
	resp, err := c.send(ctx, http.MethodGet, nil, nil, []string{"events"})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body) // a line is bounded by its buffer of 64 KiB
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var now Changed
		if !ok || json.Unmarshal([]byte(data), &now) != nil {
			continue
		}
		if err := f(now); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = lines.Err()
	if err == nil {
		err = errEnded
	}
	return c.unreachable(err)
}
