package plan

// revised is where a changed recipe comes from, as far as that is known. The catalog is part of a recipe, too, so that the
// commit is only said to be the last one.
func revised(b Base) string {
	if b.Revision == "" {
		return ""
	}
	return "; the last of its directory is " + b.Revision
}
