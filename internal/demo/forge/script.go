package forge

import (
	"context"
	"strings"
	"time"
)

// Job is a check of the forge's own CI: it begins when a branch moves and ends After on the forge's clock.
type Job struct {
	Name string
	// Conclusion is GitHub's word, "success" or "failure"; empty never ends.
	Conclusion string
	After      time.Duration
}

// Script gives a repository its CI. A job that is due ends when the next request comes.
func (f *Forge) Script(owner, name string, jobs ...Job) error {
	return f.change(owner, name, func(r *repository) error { r.Jobs = jobs; return nil })
}

// runJobs begins the jobs on a commit that a branch moved to.
func (f *Forge) runJobs(r *repository, m move) {
	if m.to == "" || !strings.HasPrefix(m.ref, "refs/heads/") {
		return
	}
	for _, job := range r.Jobs {
		k := &check{ID: f.state.nextID(), Name: job.Name, SHA: m.to, Status: "queued", Started: f.now()}
		if job.Conclusion != "" {
			due := f.now().Add(job.After)
			k.Status, k.Due, k.Final = "in_progress", &due, job.Conclusion
		}
		r.Checks = append(r.Checks, k)
		f.hook(r, "check_run", func() any { return f.checkEvent(r, k, "created") })
	}
}

// tick ends the jobs that are due. The caller holds mu.
func (f *Forge) tick() {
	now := f.now()
	for _, r := range f.state.Repositories {
		if r.Jobs == nil {
			continue
		}
		ended := false
		for _, k := range r.Checks {
			if k.Due != nil && !now.Before(*k.Due) {
				k.Status, k.Conclusion, k.Completed, k.Due = "completed", k.Final, &now, nil
				f.hook(r, "check_run", func() any { return f.checkEvent(r, k, "completed") })
				ended = true
			}
		}
		if ended {
			f.mergeWaiting(context.Background(), r)
		}
	}
}
