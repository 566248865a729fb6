package advisory

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/store"
)

const (
	maxList      = 64 << 20 // bytes of a list, decompressed; EPSS has 10 MB
	maxEntries   = 5_000_000
	factsAtOnce  = 300
	namedBroken  = 20
	entryIsNoCVE = "%.60q is no CVE"
)

// list reads what a list says of CVEs.
type list struct {
	at       time.Time // its own date; zero: it has none
	names    map[string]bool
	broken   int
	problems []string
	changed  int
	save     func([]store.AdvisoryFact) (changed int, err error)
	batch    []store.AdvisoryFact
}

func (l *list) add(f store.AdvisoryFact) error {
	switch {
	case len(f.Name) > 40 || !isCVE(f.Name):
		l.bad(fmt.Sprintf(entryIsNoCVE, f.Name))
		return nil
	case len(l.names) >= maxEntries:
		return fmt.Errorf("it has more than %d entries", maxEntries)
	case l.names[f.Name]:
		return nil
	}
	l.names[f.Name] = true
	l.batch = append(l.batch, f)
	if len(l.batch) < factsAtOnce {
		return nil
	}
	return l.flush()
}

func (l *list) flush() error {
	n, err := l.save(l.batch)
	l.batch = l.batch[:0]
	l.changed += n
	return err
}

func (l *list) bad(problem string) {
	l.broken++
	if len(l.problems) < namedBroken {
		l.problems = append(l.problems, problem)
	}
}

// readList reads a list of a kind, whole or in gzip.
func readList(kind Kind, r io.Reader, l *list) error {
	in := bufio.NewReader(r)
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		defer z.Close()
		in = bufio.NewReader(z)
	}
	bounded := &ending{r: in, left: maxList}
	read := readEPSS
	if kind == Exploited {
		read = readExploited
	}
	if err := read(bounded, l); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	if len(l.names) == 0 {
		return errors.New("it names no CVE")
	}
	return nil
}

// ending fails when there is more to read than there may be.
type ending struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (e *ending) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, fmt.Errorf("it has more than %d bytes", int64(maxList))
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	return n, err
}

// readExploited reads CISA's catalog.
func readExploited(r io.Reader, l *list) error {
	var c struct {
		Released        string            `json:"dateReleased"`
		Vulnerabilities []json.RawMessage `json:"vulnerabilities"`
	}
	if err := json.NewDecoder(r).Decode(&c); err != nil {
		return err
	}
	l.at, _ = time.Parse(time.RFC3339Nano, c.Released)
	for _, raw := range c.Vulnerabilities {
		var v struct {
			ID    string `json:"cveID"`
			Added string `json:"dateAdded"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			l.bad(err.Error())
			continue
		}
		f := store.AdvisoryFact{Name: v.ID, Value: 1}
		if t, err := time.Parse(time.DateOnly, v.Added); err == nil {
			f.At = t.UnixMilli()
		}
		if err := l.add(f); err != nil {
			return err
		}
	}
	return nil
}

// readEPSS reads FIRST's scores:
//
//	#model_version:v2026.03.14,score_date:2026-11-20T00:00:00Z
//	cve,epss,percentile
//	CVE-1999-0001,0.01297,0.79184
func readEPSS(r io.Reader, l *list) error {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	for {
		f, err := c.Read()
		var wrong *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &wrong):
			l.bad(fmt.Sprintf("line %d: %v", wrong.Line, wrong.Err))
			if l.broken > maxEntries {
				return err
			}
			continue
		case err != nil:
			return err
		case strings.HasPrefix(f[0], "#"):
			for _, part := range f {
				if at, ok := strings.CutPrefix(strings.TrimPrefix(part, "#"), "score_date:"); ok {
					l.at = scoreDate(at)
				}
			}
			continue
		case f[0] == "cve":
			continue
		}
		line, _ := c.FieldPos(0)
		if len(f) < 2 {
			l.bad(fmt.Sprintf("line %d: a CVE and its score are wanted", line))
			continue
		}
		score, err := strconv.ParseFloat(f[1], 64)
		if err != nil || math.IsNaN(score) || score < 0 || score > 1 {
			l.bad(fmt.Sprintf("line %d: %.40q is no probability", line, f[1]))
			continue
		}
		if err := l.add(store.AdvisoryFact{Name: strings.Clone(f[0]), Value: score}); err != nil {
			return err
		}
	}
}

func scoreDate(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// list reads a source that is a list.
func (l *look) list(ctx context.Context) error {
	const name = "list"
	read := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return l.readList(ctx, f)
	}
	if l.s.URL != "" {
		now, err := l.b.download(ctx, l.s.URL, l.was.Files[name], read)
		l.next.Files[name] = now
		if errors.Is(err, errSame) {
			return nil
		}
		return err
	}
	info, err := os.Stat(l.s.Path)
	if err != nil {
		return err
	}
	l.next.Files[name] = onDisk(info)
	if l.next.Files[name] == l.was.Files[name] {
		return nil
	}
	return read(l.s.Path)
}

func (l *look) readList(ctx context.Context, r io.Reader) error {
	into := &list{names: map[string]bool{}, save: func(facts []store.AdvisoryFact) (int, error) {
		return store.SaveAdvisoryFacts(ctx, l.b.store, l.s.Name, facts)
	}}
	if err := readList(l.s.Kind, r, into); err != nil {
		return err
	}
	n, err := store.CountAdvisoryFacts(ctx, l.b.store.Q(), l.s.Name)
	if err != nil {
		return err
	}
	if n != len(into.names) {
		stored, err := store.AdvisoryFactNames(ctx, l.b.store.Q(), l.s.Name)
		if err != nil {
			return err
		}
		var gone []string
		for _, s := range stored {
			if !into.names[s] {
				gone = append(gone, s)
			}
		}
		into.changed += len(gone)
		if err := store.RemoveAdvisoryFacts(ctx, l.b.store, l.s.Name, gone); err != nil {
			return err
		}
	}
	l.listed = into
	return nil
}
