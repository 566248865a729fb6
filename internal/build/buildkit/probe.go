package buildkit

import (
	"context"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/imagetest"
)

// A test needs two programs that an image may not have: one that stays, so that its container does, and one that dials a
// port. The daemon's own binary would do on its own platform only, and would be sent to every engine: 57 MB. These are
// 300 bytes. Their sources are in the directory probe; a test assembles them again.
var (
	//go:embed probe/amd64.txt
	probesAMD64 string
	//go:embed probe/arm64.txt
	probesARM64 string
)

// probeDir is where the programs are in a container.
const probeDir = "/.rebuilder"

const (
	holdProgram = "hold" // stays until it is killed
	dialProgram = "dial" // dials a port until it answers
	loadAddress = 0x400000
	codeAlign   = 16
)

// machine is what a platform's programs are made of.
type machine struct {
	elf   elf.Machine
	texts string // a line each: name, code in hexadecimal
}

// machineOf is for platforms that there are programs for.
func machineOf(p ocispecs.Platform) (machine, bool) {
	switch {
	case p.OS == "linux" && p.Architecture == "amd64":
		return machine{elf.EM_X86_64, probesAMD64}, true
	case p.OS == "linux" && p.Architecture == "arm64":
		return machine{elf.EM_AARCH64, probesARM64}, true
	}
	return machine{}, false
}

func (m machine) code(name string) []byte {
	for line := range strings.Lines(m.texts) {
		if n, text, _ := strings.Cut(strings.TrimSpace(line), " "); n == name {
			code, err := hex.DecodeString(text)
			if err != nil {
				panic("probe " + name + ": " + err.Error()) // embedded: no input leads here
			}
			return code
		}
	}
	panic("no probe " + name)
}

// program is an executable: one segment with the headers, data, code.
func (m machine) program(name string, data []byte) []byte {
	const head = 64 + 56 // the two headers of 64-bit ELF
	for (head+len(data))%codeAlign != 0 {
		data = append(data, 0)
	}
	code := m.code(name)
	size := uint64(head + len(data) + len(code))
	file := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(m.elf),
		Version: uint32(elf.EV_CURRENT),
		Entry:   loadAddress + size - uint64(len(code)),
		Phoff:   64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: loadAddress, Paddr: loadAddress, Filesz: size, Memsz: size, Align: 1 << 16,
	}
	out := make([]byte, 0, size)
	for _, header := range []any{file, segment} {
		var err error
		if out, err = binary.Append(out, binary.LittleEndian, header); err != nil {
			panic(err) // the types have fixed sizes
		}
	}
	return append(append(out, data...), code...)
}

// hold is the program that stays.
func (m machine) hold() []byte { return m.program(holdProgram, nil) }

// dial is the program that dials 127.0.0.1:port until it answers, sends a message, and prints the answer if it is to
// listen.
func (m machine) dial(port int, message string, listen bool) []byte {
	d := binary.LittleEndian.AppendUint16(nil, 2) // AF_INET
	d = binary.BigEndian.AppendUint16(d, uint16(port))
	d = append(d, 127, 0, 0, 1)
	d = append(d, make([]byte, 8)...)
	d = binary.LittleEndian.AppendUint64(d, 0)          // the pause between attempts: seconds
	d = binary.LittleEndian.AppendUint64(d, 20_000_000) // nanoseconds
	d = binary.LittleEndian.AppendUint64(d, uint64(len(message)))
	d = binary.LittleEndian.AppendUint64(d, uint64(btoi(listen)))
	return m.program(dialProgram, append(d, message...))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// probes are the programs that a suite's containers need, in a file system that is mounted at probeDir. The programs
// of ports are named by their place, "ready-0" for the first service, "port-0" for the first port test.
func (m machine) probes(s imagetest.Suite) map[string][]byte {
	out := map[string][]byte{holdProgram: m.hold()}
	for i, service := range s.Services {
		if service.Ready.Port > 0 {
			out[readyProbe(i)] = m.dial(service.Ready.Port, "", false)
		}
	}
	for i, p := range s.Ports {
		out[portProbe(i)] = m.dial(p.Port, p.Send, len(p.ExpectedOutput) > 0)
	}
	return out
}

func readyProbe(i int) string { return "ready-" + strconv.Itoa(i) }
func portProbe(i int) string  { return "port-" + strconv.Itoa(i) }

// solveProbes has the engine hold the programs.
func solveProbes(ctx context.Context, gw gateway.Client, programs map[string][]byte, p ocispecs.Platform) (gateway.Reference, error) {
	files := llb.Scratch()
	for _, name := range sorted(programs) {
		files = files.File(llb.Mkfile("/"+name, 0o755, programs[name]))
	}
	ref, err := solveState(ctx, gw, files, p)
	if err != nil {
		return nil, fmt.Errorf("make the probes of tests: %w", err)
	}
	return ref, nil
}
