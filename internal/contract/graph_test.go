package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"
)

// document is how a GraphQL document begins; prose that begins so has no brace soon.
var document = regexp.MustCompile(`^\s*(query|mutation|subscription)\b[^{]{0,300}\{`)

// G2: every document in our sources is valid by GitHub's schema.
func TestG2DocumentsInOurSources(t *testing.T) {
	found := 0
	for _, dir := range []string{"../notify", "../api", "../rollout"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return literals(path, func(at token.Position, text string) {
				if !document.MatchString(text) {
					return
				}
				found++
				if err := forge.CheckDocument(text); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d documents", found)
}

// literals calls back for every string in a source file.
func literals(path string, visit func(token.Position, string)) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, is := n.(*ast.BasicLit); is && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				visit(set.Position(literal.Pos()), text)
			}
		}
		return true
	})
	return nil
}

// The gate above can fail.
func TestG2FindsAWrongDocument(t *testing.T) {
	for text, valid := range map[string]bool{
		`query($o:String!,$n:String!){repository(owner:$o,name:$n){autoMergeAllowed pullRequests(first:50,states:OPEN,headRefName:"x"){nodes{number mergeStateStatus statusCheckRollup{state}}}}}`: true,
		`mutation($id:ID!){disablePullRequestAutoMerge(input:{pullRequestId:$id}){pullRequest{number}}}`:                                                                                           true,
		`mutation($id:ID!){disablePullRequestAutoMerge(input:{pullRequestID:$id}){pullRequest{number}}}`:                                                                                           false,
		`query{viewer{name{first}}}`: false,
	} {
		if !document.MatchString(text) {
			t.Errorf("not taken for a document: %s", text)
		}
		if err := forge.CheckDocument(text); (err == nil) != valid {
			t.Errorf("%s: %v", text, err)
		}
	}
}
