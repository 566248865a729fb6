package main

import (
	"context"
	"fmt"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/demo"
)

// loopPatience ends a loop that has missed its goal beyond doubt.
const loopPatience = 4 * time.Minute

// measureLoop publishes the update and follows it until every image is proven.
func measureLoop(ctx context.Context, s *scene) ([]Measure, error) {
	update, err := s.Publish(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, loopPatience, fmt.Errorf("not every image is proven %s after publication", loopPatience))
	defer cancel()
	r, err := s.Drive(ctx, s.client(), update, func([]api.Node) {})
	if err == nil && !r.Proven() {
		err = fmt.Errorf("not every image was proven: %+v", r.Images)
	}
	if err != nil {
		return nil, s.explained(err)
	}
	if err := demo.AwaitRest(ctx, s.client()); err != nil {
		return nil, s.explained(err)
	}
	return []Measure{
		atMost(120, "publication to last application proven", r.LoopSeconds, "s"),
		known("publication to noticed", r.NoticedAt.Sub(r.PublishedAt).Seconds(), "s"),
		known("publication to last base promoted", lastOf(r, "base"), "s"),
		known("images proven in that loop", float64(len(r.Images)), "images"),
	}, nil
}

// lastOf is when the last image of a kind was done, in seconds since publication.
func lastOf(r demo.Report, kind string) float64 {
	var last float64
	for _, i := range r.Images {
		if i.Kind == kind {
			last = max(last, i.Seconds)
		}
	}
	return last
}
