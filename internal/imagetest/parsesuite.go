package imagetest

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// schema is the version of container-structure-test's format that is read.
const schema = "2.0.0"

func (p *parser) suite(n *yaml.Node) Suite {
	s := Suite{Name: p.file}
	version := ""
	p.object(n, "a file of tests", fields{
		"schemaVersion":       &version,
		"globalEnvVars":       func(n *yaml.Node) { s.Env = p.variables(n, "globalEnvVars", setVariable) },
		"containerRunOptions": func(n *yaml.Node) { p.runOptions(n, &s) },
		"commandTests": func(n *yaml.Node) {
			p.each(n, "commandTests", func(n *yaml.Node) { s.Commands = append(s.Commands, p.commandTest(n)) })
		},
		"fileContentTests": func(n *yaml.Node) {
			p.each(n, "fileContentTests", func(n *yaml.Node) { s.Contents = append(s.Contents, p.fileContent(n)) })
		},
		"fileExistenceTests": func(n *yaml.Node) {
			p.each(n, "fileExistenceTests", func(n *yaml.Node) { s.Files = append(s.Files, p.fileExistence(n)) })
		},
		"licenseTests": func(n *yaml.Node) {
			p.each(n, "licenseTests", func(n *yaml.Node) { s.Licenses = append(s.Licenses, p.license(n)) })
		},
		"metadataTest": func(n *yaml.Node) { s.Metadata = p.metadata(n) },

		"network": &s.Network,
		"timeout": &s.Timeout,
		"services": func(n *yaml.Node) {
			p.each(n, "services", func(n *yaml.Node) { s.Services = append(s.Services, p.service(n)) })
		},
		"portTests": func(n *yaml.Node) {
			p.each(n, "portTests", func(n *yaml.Node) { s.Ports = append(s.Ports, p.port(n)) })
		},
	})
	switch {
	case version == "":
		p.wrong(n, "schemaVersion is missing: %q", schema)
	case version != schema:
		p.wrong(n, "schemaVersion is %q, only %q is read", brief(version), schema)
	}
	p.portsHaveServices(n, s)
	return s
}

// portsHaveServices: a port that answers must be one of a service of this test's container.
func (p *parser) portsHaveServices(n *yaml.Node, s Suite) {
	if len(s.Ports) == 0 {
		return
	}
	if len(s.Services) == 0 {
		p.wrong(n, "portTests need services: say what is to answer, or `services: [{name: image}]` for the image's own entrypoint")
	}
	if s.Network {
		p.wrong(n, "portTests need `network: false`: with a network, it may be another's port that answers")
	}
}

// inDefault are the capabilities that containers have anyway.
var inDefault = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
	"NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

func (p *parser) runOptions(n *yaml.Node, s *Suite) {
	refuse := func(key, why string) func(*yaml.Node) {
		return func(n *yaml.Node) {
			if len(n.Content) > 0 || n.Kind == yaml.ScalarNode && n.Value != "" {
				p.wrong(n, "containerRunOptions.%s is not supported: %s", key, why)
			}
		}
	}
	privileged := false
	p.object(n, "containerRunOptions", fields{
		"user":        &s.User,
		"allocateTty": &s.Terminal,
		"privileged": func(n *yaml.Node) {
			if p.decode(n, "privileged", &privileged, "true or false"); privileged {
				p.wrong(n, "containerRunOptions.privileged is not supported: a tested image is not trusted with the machine")
			}
		},
		"envVars":    refuse("envVars", "nothing of the daemon's environment reaches an image; set globalEnvVars"),
		"envFile":    refuse("envFile", "files of the daemon's machine do not reach an image; set globalEnvVars"),
		"bindMounts": refuse("bindMounts", "files of the daemon's machine do not reach an image; make them in setup"),
		"capabilities": func(n *yaml.Node) {
			p.each(n, "capabilities", func(n *yaml.Node) {
				c := strings.TrimPrefix(strings.ToUpper(p.text(n, "capabilities")), "CAP_")
				if !slices.Contains(inDefault, c) {
					p.wrong(n, "containerRunOptions.capabilities: %s cannot be given; containers have %s", brief(c), strings.Join(inDefault, ", "))
				}
			})
		},
	})
}

func (p *parser) commandTest(n *yaml.Node) (c Command) {
	var teardown [][]string // each test has a container of its own, which is thrown away
	p.object(n, "a command test", fields{
		"name":           &c.Name,
		"setup":          &c.Setup,
		"teardown":       &teardown,
		"envVars":        func(n *yaml.Node) { c.Env = p.variables(n, "envVars", setVariable) },
		"command":        &c.Command,
		"args":           &c.Args,
		"exitCode":       &c.ExitCode,
		"expectedOutput": &c.ExpectedOutput,
		"excludedOutput": &c.ExcludedOutput,
		"expectedError":  &c.ExpectedError,
		"excludedError":  &c.ExcludedError,
		"network":        &c.Network,
		"timeout":        &c.Timeout,
	})
	p.needs(n, "a command test", "name", c.Name)
	p.needs(n, "a command test", "command", c.Command)
	return c
}

// needs says that a text is missing.
func (p *parser) needs(n *yaml.Node, what, key, value string) {
	if value == "" {
		p.wrong(n, "%s needs a %s", what, key)
	}
}

func (p *parser) fileContent(n *yaml.Node) (f FileContent) {
	p.object(n, "a file content test", fields{
		"name":             &f.Name,
		"path":             &f.Path,
		"expectedContents": &f.Expected,
		"excludedContents": &f.Excluded,
	})
	p.needs(n, "a file content test", "name", f.Name)
	p.needs(n, "a file content test", "path", f.Path)
	return f
}

// permissions is what Go prints of a mode.
var permissions = regexp.MustCompile(`^(-|[dalTLDpSugct?]+)([r-][w-][x-]){3}$`)

func (p *parser) fileExistence(n *yaml.Node) FileExistence {
	f := FileExistence{ShouldExist: true, UID: -1, GID: -1}
	seen := p.object(n, "a file existence test", fields{
		"name":           &f.Name,
		"path":           &f.Path,
		"shouldExist":    &f.ShouldExist,
		"permissions":    &f.Permissions,
		"uid":            &f.UID,
		"gid":            &f.GID,
		"isExecutableBy": &f.ExecutableBy,
	})
	p.needs(n, "a file existence test", "name", f.Name)
	p.needs(n, "a file existence test", "path", f.Path)
	if f.Permissions != "" && !permissions.MatchString(f.Permissions) {
		p.wrong(n, "permissions %q never match: they are written like -rw-r--r--, drwxr-xr-x, urwxr-xr-x (setuid), dtrwxrwxrwx (sticky), Lrwxrwxrwx (a link)", brief(f.Permissions))
	}
	if !slices.Contains([]string{"", "owner", "group", "other", "any"}, f.ExecutableBy) {
		p.wrong(n, "isExecutableBy is owner, group, other or any, not %q", brief(f.ExecutableBy))
	}
	if strings.HasSuffix(p.file, ".json") && !seen["shouldExist"] {
		p.wrong(n, "shouldExist is missing: container-structure-test takes that for false in JSON and for true in YAML")
	}
	return f
}

func (p *parser) license(n *yaml.Node) (l License) {
	p.object(n, "a license test", fields{"debian": &l.Debian, "files": &l.Files})
	return l
}

func (p *parser) metadata(n *yaml.Node) *Metadata {
	var m Metadata
	env := func(n *yaml.Node) { m.Env = append(m.Env, p.variables(n, "envVars", expectVariable)...) }
	unbound := func(n *yaml.Node) {
		for _, v := range p.variables(n, "unboundEnvVars", expectVariable) {
			m.UnboundEnv = append(m.UnboundEnv, v.Key)
		}
	}
	seen := p.object(n, "metadataTest", fields{
		"env": env, "envVars": env, // env and unboundEnv are what they were called up to version 1.10
		"unboundEnv": unbound, "unboundEnvVars": unbound,
		"labels":           func(n *yaml.Node) { m.Labels = p.variables(n, "labels", expectVariable) },
		"entrypoint":       &m.Entrypoint,
		"cmd":              &m.Cmd,
		"exposedPorts":     &m.ExposedPorts,
		"unexposedPorts":   &m.UnexposedPorts,
		"volumes":          &m.Volumes,
		"unmountedVolumes": &m.UnmountedVolumes,
		"workdir":          &m.WorkingDir,
		"user":             &m.User,
	})
	for what, list := range map[string][]string{"exposedPorts": m.ExposedPorts, "volumes": m.Volumes} {
		if slices.Contains(list, "") {
			p.wrong(n, "%s holds an empty text", what)
		}
	}
	if len(seen) == 0 {
		return nil
	}
	return &m
}

// setVariable and expectVariable are what a list of variables is for.
const (
	setVariable    = false // a value is given
	expectVariable = true  // a value, or a pattern, is expected
)

func (p *parser) variables(n *yaml.Node, key string, expect bool) (out []Variable) {
	p.each(n, key, func(n *yaml.Node) {
		var v Variable
		isRegex := false
		f := fields{"key": &v.Key, "value": &v.Value, "isRegex": &isRegex}
		p.object(n, "an element of "+key, f)
		if v.Key == "" || !expect && strings.Contains(v.Key, "=") {
			p.wrong(n, "an element of %s needs a key, without an equals sign", key)
		}
		if expect && isRegex {
			v.Pattern = p.pattern(n, v.Value)
		}
		out = append(out, v)
	})
	return out
}

func (p *parser) service(n *yaml.Node) (s Service) {
	p.object(n, "a service", fields{
		"name":    &s.Name,
		"command": &s.Command,
		"args":    &s.Args,
		"envVars": func(n *yaml.Node) { s.Env = p.variables(n, "envVars", setVariable) },
		"user":    &s.User,
		"ready": func(n *yaml.Node) {
			p.object(n, "ready", fields{
				"port":    func(n *yaml.Node) { s.Ready.Port = p.portNumber(n) },
				"output":  &s.Ready.Output,
				"command": func(n *yaml.Node) { s.Ready.Command = p.command(n, "ready.command") },
				"timeout": &s.Ready.Timeout,
			})
		},
	})
	p.needs(n, "a service", "name", s.Name)
	if s.Command == "" && len(s.Args) > 0 {
		p.wrong(n, "a service with args needs a command")
	}
	return s
}

func (p *parser) port(n *yaml.Node) (t Port) {
	p.object(n, "a port test", fields{
		"name":           &t.Name,
		"port":           func(n *yaml.Node) { t.Port = p.portNumber(n) },
		"send":           &t.Send,
		"expectedOutput": &t.ExpectedOutput,
		"timeout":        &t.Timeout,
	})
	p.needs(n, "a port test", "name", t.Name)
	if t.Port == 0 {
		p.wrong(n, "a port test needs a port")
	}
	return t
}

func (p *parser) portNumber(n *yaml.Node) (port int) {
	p.decode(n, "port", &port, "a number")
	if port < 1 || port > 65535 {
		p.wrong(n, "port is from 1 to 65535")
	}
	return port
}
