package hygiene

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

const (
	// grownBy is how much more is much more: half as much again, and so many bytes at least.
	grownBy   = 1.5
	grownFrom = 20_000_000
	day       = 24 * time.Hour
)

// firstImages is before any image was made: times before it are those of builds that leave time out.
var firstImages = time.Date(2013, 1, 1, 0, 0, 0, 0, time.UTC)

func rootUser(inv *inventory.Inventory, _ Context) []policy.Finding {
	switch user := inv.Config.User; {
	case !isRoot(user):
		return nil
	case user == "":
		return []policy.Finding{whole("it runs as root: no USER is set")}
	default:
		return []policy.Finding{whole("it runs as root: USER is " + user)}
	}
}

func tooLarge(inv *inventory.Inventory, c Context) []policy.Finding {
	if c.MaxSize <= 0 || inv.Size <= c.MaxSize {
		return nil
	}
	return []policy.Finding{whole(fmt.Sprintf("it has %s, compressed; %s are allowed", megabytes(inv.Size), megabytes(c.MaxSize)))}
}

func grown(inv *inventory.Inventory, c Context) []policy.Finding {
	more := inv.Size - c.PreviousSize
	if c.PreviousSize <= 0 || more < grownFrom || float64(inv.Size) < grownBy*float64(c.PreviousSize) {
		return nil
	}
	return []policy.Finding{whole(fmt.Sprintf("it has %s, compressed; the image before had %s", megabytes(inv.Size), megabytes(c.PreviousSize)))}
}

func tooOld(inv *inventory.Inventory, c Context) []policy.Finding {
	made := inv.Config.Created
	age := c.Now.Sub(made)
	if c.MaxAge <= 0 || made.Before(firstImages) || age <= c.MaxAge {
		return nil
	}
	return []policy.Finding{whole(fmt.Sprintf("it was built on %s, %d days ago; %s are allowed", made.UTC().Format(time.DateOnly), age/day, days(c.MaxAge)))}
}

// days is a duration as policies have it.
func days(d time.Duration) string {
	if d%day != 0 {
		return d.String()
	}
	return fmt.Sprintf("%d days", d/day)
}

func unapprovedBase(_ *inventory.Inventory, c Context) []policy.Finding {
	if c.Base.State != BaseUnapproved {
		return nil
	}
	f := whole("it stands on an image that is no approved base")
	if c.Base.Name != "" {
		f.Title = "it stands on " + c.Base.Name + ", which is no approved base"
	}
	if c.Base.Want != "" {
		f.Do = "Build it FROM " + c.Base.Want + " instead."
	}
	return []policy.Finding{f}
}

func unknownBase(_ *inventory.Inventory, c Context) []policy.Finding {
	if c.Base.State != BaseUnknown {
		return nil
	}
	return []policy.Finding{whole("nobody can tell what it stands on")}
}

func latestTags(_ *inventory.Inventory, c Context) []policy.Finding {
	var found []policy.Finding
	for _, r := range c.References {
		if moves(r.Name) {
			f := whole("the Dockerfile names " + r.Name + " without a version")
			f.Path, f.Line = r.File, r.Line
			found = append(found, f)
		}
	}
	return found
}

// moves says that a reference names whatever is newest: no digest, and no tag or latest.
func moves(reference string) bool {
	if reference == "" || reference == "scratch" || strings.ContainsAny(reference, "@$") {
		return false
	}
	_, tag, tagged := strings.Cut(reference[strings.LastIndexByte(reference, '/')+1:], ":")
	return !tagged || tag == "latest"
}

func lint(_ *inventory.Inventory, c Context) []policy.Finding {
	var found []policy.Finding
	for _, w := range c.Lint {
		f := whole(w.Text)
		if len(w.Lines) > 0 {
			f.Path, f.Line = placeOf(w.Lines[0])
		}
		if w.URL != "" {
			f.Do = "Change the line; " + w.URL + " explains it."
		}
		found = append(found, f)
	}
	return found
}

// placeOf reads "Dockerfile:3: RUN ...".
func placeOf(line string) (file string, number int) {
	file, rest, _ := strings.Cut(line, ":")
	digits, _, _ := strings.Cut(rest, ":")
	number, err := strconv.Atoi(digits)
	if err != nil || number < 1 {
		return "", 0
	}
	return file, number
}

func unknownContent(inv *inventory.Inventory, _ Context) []policy.Finding {
	var found []policy.Finding
	for _, sentence := range inv.Unknown {
		found = append(found, whole(sentence))
	}
	return found
}
