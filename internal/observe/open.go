package observe

import "strings"

// openReferences are the images that the Dockerfile of an application needs. Its own CI builds it, with build arguments of
// which the catalog may not know all.
func openReferences(path string, src []byte, args map[string]string, target string) ([]reference, error) {
	f, err := readable(path, src, args)
	if err != nil {
		return nil, err
	}
	used, err := f.UsesOpen(target)
	return needed(f, used), err
}

// notKnown says of a reference that ends in build arguments which are not known what it may be; nothing when it is no base
// of ours, whatever they are.
func (n names) notKnown(ref reference) string {
	head, _, _ := strings.Cut(ref.raw, "$")
	at := where(ref.file, ref.line)
	if head == "" || !strings.HasSuffix(head, ":") && !strings.HasSuffix(head, "@") {
		return ref.raw + " by build arguments that are not known (" + at + ")"
	}
	repo, _, ok := parts(strings.TrimRight(head, ":@"))
	if !ok {
		return ""
	}
	for _, o := range n[repo] {
		if o.base {
			return o.name + " by build arguments that are not known (" + at + ")"
		}
	}
	return ""
}
