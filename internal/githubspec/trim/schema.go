package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
)

// trimSchema leaves the descriptions out of a GraphQL schema, and the second of two fields of the same name in a type:
// GitHub publishes some, and the format forbids them.
func trimSchema(from, output string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	doc, err := parser.ParseSchema(&ast.Source{Name: from, Input: string(data)})
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, definition := range doc.Definitions {
		var once ast.FieldList
		for _, field := range definition.Fields {
			if once.ForName(field.Name) == nil {
				once = append(once, field)
			}
		}
		definition.Fields = once
	}
	var text bytes.Buffer
	formatter.NewFormatter(&text, formatter.WithoutDescription()).FormatSchemaDocument(doc)
	packed, err := compress(text.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(output, packed, 0o644)
}
