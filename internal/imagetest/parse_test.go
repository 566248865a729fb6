package imagetest_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"rebuilder/internal/golden"
	"rebuilder/internal/imagetest"
)

const header = "schemaVersion: 2.0.0\n"

// TestParse reads files with every key, and compares what they mean.
func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"plain.yaml": `
schemaVersion: '2.0.0' # everything that container-structure-test has
globalEnvVars:
  - key: "VIRTUAL_ENV"
    value: "/env"
  - {key: PATH, value: "/env/bin:$PATH"}
containerRunOptions:
  user: root
  privileged: false
  allocateTty: true
  envFile: ""
  envVars: []
  capabilities: [NET_BIND_SERVICE, cap_chown]
  bindMounts:
commandTests:
  - name: "gunicorn flask"
    setup: [["virtualenv", "/env"], ["pip", "install", "gunicorn", "flask"]]
    teardown: [[rm, -r, /env]]
    command: "which"
    args: ["gunicorn", 8080, true]
    envVars: [{key: A, value: 1}]
    exitCode: 3
    expectedOutput: ["/env/bin/gunicorn"]
    excludedOutput: [.*Inst.*Security.* | .*Security.*Inst.*]
    expectedError: ['a']
    excludedError: ['b']
  - name: literal
    command: bash
    args:
      - -c
      - |
         echo hello &&
         echo world
fileExistenceTests:
- name: 'Root'
  path: '/'
  shouldExist: true
  permissions: 'drwxr-xr-x'
  uid: 1000
  gid: 0
  isExecutableBy: 'group'
- {name: defaults, path: /etc}
- {name: none, path: /none, shouldExist: no}
fileContentTests:
- name: 'Debian Sources'
  path: '/etc/apt/sources.list'
  expectedContents: ['.*httpredir\.debian\.org.*']
  excludedContents: ['.*gce_debian_mirror.*']
metadataTest:
  envVars: [{key: foo, value: baz}, {key: EMPTY, value: ''}]
  unboundEnvVars: [{key: BAR}]
  labels:
    - {key: 'com.example.vendor', value: 'ACME Incorporated'}
    - {key: 'build-date', value: '^\d{4}', isRegex: true}
  exposedPorts: ["8080", 2345]
  unexposedPorts: ['80']
  volumes: ["/test"]
  unmountedVolumes: ['/root']
  entrypoint: []
  cmd: ["/bin/bash"]
  workdir: "/app"
  user: "luke"
licenseTests:
- debian: true
  files: ["/foo/bar", "/baz/bat"]
`,
		"old.yaml": header + "metadataTest: {env: [{key: a, value: b}], unboundEnv: [{key: c}]}\n",
		"anchors.yaml": header + `
commandTests:
  - &first {name: one, command: sh, args: &args [-c, "true"], exitCode: 1}
  - {<<: *first, name: two}
  - {name: three, command: bash, args: *args}
`,
		"tests.json": `{
	"schemaVersion": "2.0.0",
	"fileExistenceTests": [{"name": "a\/b \ud83d\udea2 \\/ \"\u00e9\n", "path": "/a", "shouldExist": true}],
	"metadataTest": {"cmd": null, "user": "me"}
}`,
		"ours.yaml": header + `
network: false
timeout: 30s
services:
  - {name: image}
  - name: server
    command: /app/server
    args: [--port, "8080"]
    envVars: [{key: MODE, value: test}]
    user: nobody
    ready: {port: 8080, output: [listening], command: [/app/check, now], timeout: 10s}
commandTests:
  - {name: slow, command: a, network: true, timeout: 2m}
portTests:
  - {name: it answers, port: 8080, send: "GET / HTTP/1.0\r\n\r\n", expectedOutput: ['^HTTP/1\.[01] 200'], timeout: 5s}
`,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := imagetest.Parse(name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			out, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/"+name+".golden", string(out)+"\n")

			// A suite may wait in a store.
			var again imagetest.Suite
			if err := json.Unmarshal(out, &again); err != nil || !reflect.DeepEqual(s, again) {
				t.Errorf("%v: got %+v, want %+v", err, again, s)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	command := header + "commandTests:\n- {name: a, command: b, "
	file := header + "fileExistenceTests:\n- {name: a, path: /b, "
	for name, c := range map[string]struct{ text, want string }{
		"nothing":            {"", "tests.yaml:1: it is empty"},
		"a comment":          {"# nothing", "tests.yaml:1: it is empty"},
		"no YAML":            {"a: [", "tests.yaml:1: did not find expected node content"},
		"no mapping":         {"- a", "tests.yaml:1: a file of tests is written as keys with values"},
		"no tests":           {header, "tests.yaml:1: it has no tests"},
		"empty metadata":     {header + "metadataTest: {}", "it has no tests"},
		"no version":         {"commandTests: [{name: a, command: b}]", `tests.yaml:1: schemaVersion is missing: "2.0.0"`},
		"an old version":     {"schemaVersion: 1.0.0\ncommandTests: [{name: a, command: b}]", `tests.yaml:1: schemaVersion is "1.0.0", only "2.0.0" is read`},
		"two documents":      {header + "---\n" + header, "tests.yaml:2: a second document"},
		"an unknown section": {header + "commandTest: []", `tests.yaml:2: a file of tests has no key "commandTest"; its keys are: commandTests, containerRunOptions,`},
		"an unknown key":     {command + "cmd: x}", `tests.yaml:3: a command test has no key "cmd"; its keys are: args, command,`},
		"a key twice":        {command + "name: c}", `tests.yaml:3: the key "name" is here twice`},
		"a key that is none": {header + "? [a]\n: b", `has no key ""`},
		"no name":            {header + "commandTests:\n\n- command: b", "tests.yaml:4: a command test needs a name"},
		"no command":         {header + "commandTests:\n- name: b", "tests.yaml:3: a command test needs a command"},
		"no path":            {header + "fileContentTests:\n- name: b", "tests.yaml:3: a file content test needs a path"},
		"a pattern":          {command + "expectedOutput: [ok,\n '(']}", "tests.yaml:4: error parsing regexp: missing closing ): `(`"},
		"no list":            {command + "args: x}", "tests.yaml:3: args is a list"},
		"a list in a list":   {command + "args: [[x]]}", "tests.yaml:3: args is one text"},
		"no number":          {command + "exitCode: one}", "tests.yaml:3: exitCode is a number"},
		"no truth":           {file + "shouldExist: 3}", "tests.yaml:3: shouldExist is true or false"},
		"no time":            {command + "timeout: 3}", "tests.yaml:3: timeout is a time like 30s or 2m"},
		"no time left":       {command + "timeout: -3s}", "tests.yaml:3: timeout is a time like 30s or 2m"},
		"an empty setup":     {command + "setup: [[]]}", "tests.yaml:3: setup has an empty command"},
		"a zero byte":        {command + `args: ["\0"]}`, "tests.yaml:3: args holds a zero byte"},
		"permissions":        {file + "permissions: '0644'}", `tests.yaml:3: permissions "0644" never match: they are written like -rw-r--r--`},
		"sticky":             {file + "permissions: drwxrwxrwt}", `dtrwxrwxrwx (sticky)`},
		"executable by":      {file + "isExecutableBy: me}", "tests.yaml:3: isExecutableBy is owner, group, other or any"},
		"a variable":         {header + "globalEnvVars: [{value: x}]", "tests.yaml:2: an element of globalEnvVars needs a key"},
		"privileged":         {header + "containerRunOptions:\n  privileged: true", "tests.yaml:3: containerRunOptions.privileged is not supported"},
		"mounts":             {header + "containerRunOptions: {bindMounts: ['/:/host']}", "containerRunOptions.bindMounts is not supported"},
		"environment":        {header + "containerRunOptions: {envVars: [TOKEN]}", "containerRunOptions.envVars is not supported: nothing of the daemon's environment reaches an image; set globalEnvVars"},
		"environment file":   {header + "containerRunOptions: {envFile: x}", "containerRunOptions.envFile is not supported"},
		"capabilities":       {header + "containerRunOptions: {capabilities: [sys_admin]}", "containerRunOptions.capabilities: SYS_ADMIN cannot be given; containers have AUDIT_WRITE"},
		"a service":          {header + "services: [{args: [a]}]", "tests.yaml:2: a service needs a name\ntests.yaml:2: a service with args needs a command"},
		"a port":             {header + "services: [{name: a, ready: {port: 70000}}]", "tests.yaml:2: port is from 1 to 65535"},
		"no port":            {header + "services: [{name: a}]\nportTests: [{name: a}]", "tests.yaml:3: a port test needs a port"},
		"ports of nobody":    {header + "portTests: [{name: a, port: 1}]", "portTests need services"},
		"ports of others":    {header + "network: true\nservices: [{name: a}]\nportTests: [{name: a, port: 1}]", "portTests need `network: false`"},
		"a circle":           {"&a {commandTests: [*a]}", "more than 100000 values"},
		"aliases of aliases": {header + "commandTests: [{name: &a [x,x,x,x,x,x,x,x,x,x], command: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a], args: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b], exitCode: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c], setup: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]}]", "more than 100000 values"},
		"too large":          {strings.Repeat("#", 1<<20+1), "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := imagetest.Parse("tests.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := imagetest.Parse("a.json", []byte(`{"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": "a", "path": "/a"}]}`)); err == nil || !strings.Contains(err.Error(), "shouldExist is missing") {
		t.Errorf("error %v", err)
	}
	if _, err := imagetest.Parse("a.yaml", []byte(strings.Repeat("x: y\n", 100))); err == nil || strings.Count(err.Error(), "\n") != 19 {
		t.Errorf("error %v, want 20 lines", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(header + "commandTests: [{name: a, command: b, args: &x [c], setup: [*x], expectedOutput: ['^$']}]")
	f.Add(header + "metadataTest: {<<: [{user: a}, {cmd: [b]}], labels: [{key: a, isRegex: true}]}")
	f.Add(header + "services: [{name: a, ready: {port: 1, timeout: 1s}}]\nportTests: [{name: b, port: 2, send: \"\\x01\"}]")
	f.Add(header + "fileExistenceTests: [{name: a, path: b, permissions: -rw-------}]\ncontainerRunOptions: {user: a}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := imagetest.Parse("tests.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, c := range s.Commands {
			if c.Name == "" || c.Command == "" {
				t.Errorf("%+v", c)
			}
			for _, one := range c.Setup {
				if len(one) == 0 {
					t.Errorf("%+v", c)
				}
			}
			c.Problems(0, text, text)
		}
		for _, p := range s.Ports {
			if p.Port < 1 || p.Port > 65535 || len(s.Services) == 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
