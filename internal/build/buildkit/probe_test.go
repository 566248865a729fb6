package buildkit

import (
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/golden"
)

// TestProbesAreTheirSources assembles the sources with Go's own assembler.
func TestProbesAreTheirSources(t *testing.T) {
	root := goCommand(t, runtime.GOARCH, "env", "GOROOT")
	include := filepath.Join(strings.TrimSpace(root), "pkg", "include")
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			object := filepath.Join(t.TempDir(), "probe.o")
			goCommand(t, arch, "tool", "asm", "-p", "probe", "-I", include, "-o", object, filepath.Join("probe", arch+".s"))
			golden.Compare(t, filepath.Join("probe", arch+".txt"), disassembled(t, arch, goCommand(t, arch, "tool", "objdump", object)))
		})
	}
}

func goCommand(t *testing.T, arch string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// disassembled is the code of each function up to its RET, which is there as the assembler wants one.
func disassembled(t *testing.T, arch, dump string) string {
	t.Helper()
	var out strings.Builder
	within := false
	for line := range strings.Lines(dump) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && f[0] == "TEXT":
			name, _, _ := strings.Cut(strings.TrimPrefix(f[1], "probe."), "(")
			fmt.Fprintf(&out, "%s ", name)
			within = true
		case !within || len(f) < 4:
		case f[3] == "RET":
			within = false
			out.WriteString("\n")
		case arch == "arm64": // a number there, and the last byte first in memory
			b, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%08x", binary.LittleEndian.Uint32(b))
		default:
			out.WriteString(f[2])
		}
	}
	return out.String()
}

func TestProbeIsAnExecutable(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		m, ok := machineOf(ocispecs.Platform{OS: "linux", Architecture: arch})
		if !ok {
			t.Fatalf("no programs for %s", arch)
		}
		for what, program := range map[string][]byte{"hold": m.hold(), "dial": m.dial(80, "odd", true)} {
			f, err := elf.NewFile(strings.NewReader(string(program)))
			if err != nil {
				t.Fatalf("%s %s: %v", arch, what, err)
			}
			p := f.Progs[0]
			if f.Machine != m.elf || f.Entry%4 != 0 || f.Entry < p.Vaddr || f.Entry >= p.Vaddr+p.Filesz || p.Filesz != uint64(len(program)) {
				t.Errorf("%s %s: %+v, %+v", arch, what, f.FileHeader, p.ProgHeader)
			}
			if len(program) > 512 {
				t.Errorf("%s %s has %d bytes", arch, what, len(program))
			}
		}
	}
	if _, ok := machineOf(ocispecs.Platform{OS: "linux", Architecture: "riscv64"}); ok {
		t.Error("there are programs for riscv64")
	}
}

// TestDial runs the program here. The other machine's runs where its emulator is installed.
func TestDial(t *testing.T) {
	for arch, emulator := range map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"} {
		t.Run(arch, func(t *testing.T) {
			var run []string
			if arch != runtime.GOARCH {
				path, err := exec.LookPath(emulator)
				if err != nil {
					t.Skipf("needs %s: apt-get install qemu-user-static", emulator)
				}
				run = []string{path}
			}
			m, _ := machineOf(ocispecs.Platform{OS: "linux", Architecture: arch})
			t.Run("talks", func(t *testing.T) { testTalk(t, run, m) })
			t.Run("connects only", func(t *testing.T) { testConnect(t, run, m) })
		})
	}
}

// testTalk has the port open after the program was started.
func testTalk(t *testing.T, run []string, m machine) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd, out := startProgram(t, run, m.dial(port, "question\n", true))
	if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	question := make([]byte, len("question\n"))
	if _, err := io.ReadFull(c, question); err != nil || string(question) != "question\n" {
		t.Errorf("%q, %v", question, err)
	}
	answer := strings.Repeat("answer ", 10_000)
	if _, err := io.WriteString(c, answer); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if out.String() != answer {
		t.Errorf("%d bytes of %d arrived", out.Len(), len(answer))
	}
}

func testConnect(t *testing.T, run []string, m machine) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, _ := startProgram(t, run, m.dial(l.Addr().(*net.TCPAddr).Port, "", false))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func startProgram(t *testing.T, run []string, program []byte) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, program, 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	args := append(run, file)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	out := new(strings.Builder)
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}
