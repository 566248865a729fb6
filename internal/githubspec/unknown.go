package githubspec

import (
	"fmt"
	"sort"

	"github.com/getkin/kin-openapi/openapi3"
)

// deepest bounds how far schemas are followed through allOf, anyOf and oneOf; some refer to themselves.
const deepest = 20

// unknown lists the paths of object members that no branch of a schema declares. OpenAPI 3.0 cannot say that itself
// where schemas are joined by allOf, anyOf or oneOf.
func unknown(schema *openapi3.SchemaRef, v any, at string) []string {
	switch v := v.(type) {
	case map[string]any:
		return unknownMembers(schema, v, at)
	case []any:
		var items []*openapi3.SchemaRef
		branches(schema, 0, func(s *openapi3.Schema) {
			if s.Items != nil {
				items = append(items, s.Items)
			}
		})
		var found []string
		for i, item := range v {
			found = append(found, fewestUnknown(items, item, fmt.Sprintf("%s/%d", at, i))...)
		}
		return found
	}
	return nil
}

func unknownMembers(schema *openapi3.SchemaRef, v map[string]any, at string) []string {
	declared := map[string][]*openapi3.SchemaRef{}
	open := false
	branches(schema, 0, func(s *openapi3.Schema) {
		for name, property := range s.Properties {
			declared[name] = append(declared[name], property)
		}
		more := s.AdditionalProperties
		open = open || more.Schema != nil || more.Has != nil && *more.Has
	})
	if len(declared) == 0 {
		return nil // free-form
	}
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	sort.Strings(names)
	var found []string
	for _, name := range names {
		schemas, known := declared[name]
		switch {
		case known:
			found = append(found, fewestUnknown(schemas, v[name], at+"/"+name)...)
		case !open:
			found = append(found, at+"/"+name)
		}
	}
	return found
}

// fewestUnknown judges by the schema that fits best.
func fewestUnknown(schemas []*openapi3.SchemaRef, v any, at string) []string {
	var best []string
	for i, schema := range schemas {
		if found := unknown(schema, v, at); i == 0 || len(found) < len(best) {
			best = found
		}
	}
	return best
}

// branches visits a schema and all that it is joined from.
func branches(ref *openapi3.SchemaRef, depth int, visit func(*openapi3.Schema)) {
	if ref == nil || ref.Value == nil || depth > deepest {
		return
	}
	visit(ref.Value)
	for _, list := range []openapi3.SchemaRefs{ref.Value.AllOf, ref.Value.AnyOf, ref.Value.OneOf} {
		for _, branch := range list {
			branches(branch, depth+1, visit)
		}
	}
}
