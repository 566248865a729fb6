package forge

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

//go:embed github.graphql.gz
var packedSchema []byte

// schema is GitHub's own, without its descriptions (see NOTICE); it is read when the first document comes.
var schema = sync.OnceValues(func() (*ast.Schema, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packedSchema))
	if err != nil {
		return nil, fmt.Errorf("forge: GraphQL schema: %w", err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("forge: GraphQL schema: %w", err)
	}
	loaded, err := gqlparser.LoadSchema(&ast.Source{Name: "github.graphql", Input: string(text)})
	if err != nil {
		return nil, fmt.Errorf("forge: GraphQL schema: %w", err)
	}
	return loaded, nil
})

// CheckDocument says what GitHub's schema does not allow in a GraphQL document.
func CheckDocument(document string) error {
	s, err := schema()
	if err != nil {
		return err
	}
	if _, wrong := gqlparser.LoadQueryWithRules(s, document, nil); len(wrong) > 0 {
		return wrong
	}
	return nil
}

// Document is a GraphQL request that was taken.
type Document struct {
	Query     string
	Variables map[string]any
}

// Documents returns the GraphQL requests so far, refused ones too.
func (f *Forge) Documents() []Document {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Document(nil), f.documents...)
}

// Unresolved returns the fields that were asked for, are in GitHub's schema, and are not known here, with how often.
func (f *Forge) Unresolved() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for field, n := range f.unresolved {
		out[field] = n
	}
	return out
}

// maxDocuments bounds how many requests are kept for Documents.
const maxDocuments = 1000

func (f *Forge) graphRoutes(on func(string, handler)) {
	on("POST /graphql", graphQL)
	on("POST /api/graphql", graphQL)
}

type graphError struct {
	Type    string   `json:"type,omitempty"`
	Path    []string `json:"path,omitempty"`
	Message string   `json:"message"`
}

type graphAnswer struct {
	Data   any          `json:"data,omitempty"`
	Errors []graphError `json:"errors,omitempty"`
}

func graphQL(c *call) reply {
	var in struct {
		Query         string
		Variables     map[string]any
		OperationName string
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if len(c.f.documents) < maxDocuments {
		c.f.documents = append(c.f.documents, Document{Query: in.Query, Variables: in.Variables})
	}
	s, err := schema()
	if err != nil {
		return fail(http.StatusInternalServerError, err.Error())
	}
	document, wrong := gqlparser.LoadQueryWithRules(s, in.Query, nil)
	if len(wrong) > 0 {
		answer := graphAnswer{}
		for _, one := range wrong {
			answer.Errors = append(answer.Errors, graphError{Message: one.Message})
		}
		return ok(answer)
	}
	operation := document.Operations.ForName(in.OperationName)
	if operation == nil {
		operation = document.Operations[0]
	}
	walk := &graphWalk{c: c, schema: s, variables: in.Variables}
	root := c.queries()
	if operation.Operation == ast.Mutation {
		root = c.mutations()
	}
	data := walk.object(operation.SelectionSet, root)
	return ok(graphAnswer{Data: data, Errors: walk.errors})
}

// node is an object of the graph: its fields by name, and "__typename".
type node map[string]any

// resolver is a field that depends on its arguments, or costs something to know.
type resolver func(arguments map[string]any) (any, error)

// graphWalk answers one operation that the schema allows.
type graphWalk struct {
	c         *call
	schema    *ast.Schema
	variables map[string]any
	errors    []graphError
}

func (g *graphWalk) value(selected ast.SelectionSet, v any) any {
	switch v := v.(type) {
	case node:
		if v == nil {
			return nil
		}
		return g.object(selected, v)
	case []node:
		out := []any{}
		for _, item := range v {
			out = append(out, g.object(selected, item))
		}
		return out
	}
	return v
}

func (g *graphWalk) object(selected ast.SelectionSet, of node) map[string]any {
	out := map[string]any{}
	g.into(out, selected, of)
	return out
}

func (g *graphWalk) into(out map[string]any, selected ast.SelectionSet, of node) {
	kind, _ := of["__typename"].(string)
	for _, selection := range selected {
		switch s := selection.(type) {
		case *ast.Field:
			merge(out, s.Alias, g.field(s, of))
		case *ast.InlineFragment:
			if s.TypeCondition == "" || g.is(kind, s.TypeCondition) {
				g.into(out, s.SelectionSet, of)
			}
		case *ast.FragmentSpread:
			if g.is(kind, s.Definition.TypeCondition) {
				g.into(out, s.Definition.SelectionSet, of)
			}
		}
	}
}

// merge joins the selections of a field that is asked for twice.
func merge(out map[string]any, name string, v any) {
	had, both := out[name].(map[string]any)
	more, is := v.(map[string]any)
	if !both || !is {
		out[name] = v
		return
	}
	for key, value := range more {
		merge(had, key, value)
	}
}

func (g *graphWalk) field(f *ast.Field, of node) any {
	v, known := of[f.Name]
	if !known {
		g.c.f.unresolved[f.ObjectDefinition.Name+"."+f.Name]++
	}
	if resolve, is := v.(resolver); is {
		resolved, err := resolve(f.ArgumentMap(g.variables))
		if err != nil {
			g.errors = append(g.errors, graphError{Type: "UNPROCESSABLE", Path: []string{f.Alias}, Message: err.Error()})
			return nil
		}
		v = resolved
	}
	return g.value(f.SelectionSet, v)
}

// is says whether a type is another one, or one of its kinds.
func (g *graphWalk) is(kind, condition string) bool {
	if kind == condition {
		return true
	}
	wanted := g.schema.Types[condition]
	if wanted == nil {
		return false
	}
	for _, possible := range g.schema.GetPossibleTypes(wanted) {
		if possible.Name == kind {
			return true
		}
	}
	return false
}

// connection is a list as GraphQL pages it; cursors are not needed, since what there is fits on a page or is cut.
func connection(kind string, all []node) resolver {
	return func(arguments map[string]any) (any, error) {
		shown := all
		if first, ok := number(arguments["first"]); ok && first < len(shown) {
			shown = shown[:first]
		}
		if last, ok := number(arguments["last"]); ok && last < len(shown) {
			shown = shown[len(shown)-last:]
		}
		edges := []node{}
		for _, item := range shown {
			edges = append(edges, node{"__typename": "Edge", "node": item, "cursor": "c"})
		}
		return node{
			"__typename": kind, "nodes": append([]node{}, shown...), "edges": edges, "totalCount": len(all), "issueCount": len(all),
			"pageInfo": node{
				"__typename": "PageInfo", "hasNextPage": len(shown) < len(all), "hasPreviousPage": false,
				"startCursor": "c", "endCursor": "c",
			},
		}, nil
	}
}

// number reads an argument, which is an int64 in a document and a float64 or a json.Number in variables.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), true
	case float64:
		return int(v), true
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}
