package githubspec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Exchange is a request and its answer, as they were on the wire.
type Exchange struct {
	Request      *http.Request // its body is not read
	RequestBody  []byte
	Status       int
	Header       http.Header
	ResponseBody []byte
}

// Finding is something that the description does not allow.
type Finding struct {
	Operation string // "POST /repos/{owner}/{repo}/pulls", or method and path when there is no such operation
	Side      Side
	Status    int
	Message   string
}

// Side is who broke the rules.
type Side string

// The sides of an exchange.
const (
	Request  Side = "request"
	Response Side = "response"
)

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s (status %d): %s", f.Operation, f.Side, f.Status, f.Message)
}

// exchange is an Exchange with what the description says about it.
type exchange struct {
	Exchange
	name     string
	op       *openapi3.Operation
	input    *openapi3filter.RequestValidationInput
	findings []Finding
}

func (x *exchange) add(side Side, format string, args ...any) {
	x.findings = append(x.findings, Finding{x.name, side, x.Status, fmt.Sprintf(format, args...)})
}

// byNumber is how renamed repositories are led on to; the description knows repositories by their names only.
var byNumber = regexp.MustCompile(`^/repositories/[0-9]+`)

// Check judges one exchange. The path may be below /api/v3 or at the root. It returns the operation's name and what
// is wrong with it.
func (s *Spec) Check(e Exchange) (operation string, findings []Finding) {
	path := strings.TrimPrefix(e.Request.URL.EscapedPath(), "/api/v3")
	if path == "" {
		path = "/"
	}
	path = byNumber.ReplaceAllString(path, "/repos/by/number")
	x := &exchange{Exchange: e, name: e.Request.Method + " " + path}
	found, params, ok := s.find(e.Request.Method, path)
	if !ok {
		x.add(Request, "the description has no such operation (operations.txt lists those it has)")
		return x.name, x.findings
	}
	x.name, x.op = e.Request.Method+" "+found.template, found.item.GetOperation(e.Request.Method)
	x.input = &openapi3filter.RequestValidationInput{
		Request: x.replay(), PathParams: params, Options: options(),
		Route: &routers.Route{
			Spec: s.doc, Path: found.template, PathItem: found.item, Method: e.Request.Method, Operation: x.op,
		},
	}
	x.checkRequest()
	x.checkResponse()
	return x.name, x.findings
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		MultiError: true, IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
}

// replay makes the request anew, since checking reads its body.
func (x *exchange) replay() *http.Request {
	u := url.URL{Scheme: "https", Host: "github.example", Path: x.Request.URL.Path, RawQuery: x.Request.URL.RawQuery}
	r := &http.Request{Method: x.Request.Method, URL: &u, Header: x.Request.Header.Clone()}
	r = r.WithContext(context.Background())
	r.Body, r.ContentLength = http.NoBody, int64(len(x.RequestBody))
	if len(x.RequestBody) > 0 {
		r.Body = readCloser{bytes.NewReader(x.RequestBody)}
	}
	return r
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func (x *exchange) checkRequest() {
	if err := openapi3filter.ValidateRequest(context.Background(), x.input); err != nil && !x.refused() {
		x.add(Request, "%s", explain(err))
	}
	known := map[string]bool{}
	for _, p := range slices.Concat(x.op.Parameters, x.input.Route.PathItem.Parameters) {
		if p.Value.In == openapi3.ParameterInQuery {
			known[p.Value.Name] = true
		}
	}
	for name := range x.Request.URL.Query() {
		if !known[name] {
			x.add(Request, "query parameter %q is unknown", name)
		}
	}
	if x.op.RequestBody == nil {
		if len(x.RequestBody) > 0 {
			x.add(Request, "a body is sent where none belongs")
		}
		return
	}
	for _, path := range unknownIn(x.op.RequestBody.Value.Content, x.RequestBody) {
		x.add(Request, "body member %s is unknown", path)
	}
}

// refused says that the server noticed a bad request, so that a test of that is no finding.
func (x *exchange) refused() bool {
	return x.Status == http.StatusBadRequest || x.Status == http.StatusUnprocessableEntity
}

func (x *exchange) checkResponse() {
	documented := x.op.Responses.Status(x.Status)
	if documented == nil && undocumented(x.Status) {
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: x.input, Status: x.Status, Header: x.Header, Options: x.input.Options,
	}
	in.SetBodyBytes(x.ResponseBody)
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		x.add(Response, "%s", explain(err))
	}
	if documented == nil {
		return
	}
	for _, path := range unknownIn(documented.Value.Content, x.ResponseBody) {
		x.add(Response, "member %s is invented", path)
	}
}

// unknownIn lists the members of a JSON body that its schema does not know.
func unknownIn(content openapi3.Content, body []byte) []string {
	media := content.Get("application/json")
	var v any
	if media == nil || len(body) == 0 || json.Unmarshal(body, &v) != nil {
		return nil // the schema check has said it
	}
	return unknown(media.Schema, v, "")
}

// CheckWebhook judges a delivery's body by its event ("pull_request") and, where the body has one, its action.
func (s *Spec) CheckWebhook(event string, body []byte) []Finding {
	name, v := event, map[string]any{}
	if err := json.Unmarshal(body, &v); err != nil {
		return []Finding{{Operation: "webhook " + event, Side: Response, Message: err.Error()}}
	}
	if action, ok := v["action"].(string); ok {
		name += "-" + action
	}
	name = strings.ReplaceAll(name, "_", "-")
	x := &exchange{name: "webhook " + name}
	item := s.doc.Paths.Value(webhooks + name)
	if item == nil {
		x.add(Response, "the description has no such webhook (operations.txt lists those it has)")
		return x.findings
	}
	schema := item.Post.RequestBody.Value.Content.Get("application/json").Schema
	if err := schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
		x.add(Response, "%s", explain(err))
	}
	for _, path := range unknown(schema, v, "") {
		x.add(Response, "member %s is invented", path)
	}
	return x.findings
}

// explain turns the library's nested errors, each with a whole schema in it, into one line.
func explain(err error) string {
	var many openapi3.MultiError
	var schema *openapi3.SchemaError
	var request *openapi3filter.RequestError
	var response *openapi3filter.ResponseError
	switch {
	case errors.As(err, &request) && request.Err != nil:
		where := request.Reason
		if request.Parameter != nil {
			where = "parameter " + request.Parameter.Name
		}
		return strings.TrimSpace(where + " " + explain(request.Err))
	case errors.As(err, &response) && response.Err != nil:
		return explain(response.Err)
	case errors.As(err, &many):
		lines := make([]string, len(many))
		for i, one := range many {
			lines[i] = explain(one)
		}
		return strings.Join(lines, "; ")
	case errors.As(err, &schema):
		line := "/" + strings.Join(schema.JSONPointer(), "/") + ": " + schema.Reason
		if schema.Origin != nil {
			line += " (" + explain(schema.Origin) + ")"
		}
		return line
	}
	return err.Error()
}
