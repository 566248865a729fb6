package watch

// TakenBy says that an installed version has the patch: it is p.To or newer. A version that is none has not.
func (p Patch) TakenBy(installed string) bool {
	c, err := compare(installed, p.To)
	return err == nil && c >= 0
}
