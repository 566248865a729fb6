package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that the bench started. It dies with the bench, however that ends.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	done  chan struct{} // closed when it has ended
}

// stopPatience is how long a process may take to end when asked.
const stopPatience = 15 * time.Second

// launch starts a program whose output goes to the file log.
func launch(log string, env []string, program string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // a terminal's Ctrl-C is ours to handle
		Pdeathsig: syscall.SIGKILL,
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when this thread ends, so it lives as long as the process
		p.began = time.Now()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end, kills it when it does not, and returns when it is gone. It is safe twice.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("%s did not end within %s and was killed", filepath.Base(p.cmd.Path), stopPatience)
}

// memory is what a process has in physical memory, in bytes.
type memory struct {
	resident int64
	files    int64 // of that: mapped files, which the kernel can drop and processes share
	peak     int64 // resident, since the start
}

func memoryOf(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for name, into := range map[string]*int64{"VmRSS": &m.resident, "RssFile": &m.files, "VmHWM": &m.peak} {
		if *into, err = statusField(b, name); err != nil {
			return memory{}, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return m, nil
}

// statusField reads a line such as "VmRSS:	   12345 kB", in bytes.
func statusField(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		f := strings.Fields(string(line))
		if len(f) == 3 && f[0] == name+":" && f[2] == "kB" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("status has no %s", name)
}

// userHZ is the unit of times in /proc: 100 a second on every architecture that Go runs Linux on.
const userHZ = 100

// processorTime is how long a process has computed, to 10 ms.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return statTime(string(b))
}

func statTime(stat string) (time.Duration, error) {
	const user, system = 11, 12 // counted from what follows the name, which may hold anything
	f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(f) <= system {
		return 0, errors.New("stat is too short")
	}
	u, err := strconv.ParseInt(f[user], 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseInt(f[system], 10, 64)
	return time.Duration(u+s) * time.Second / userHZ, err
}

// descendants are the processes below pid.
func descendants(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, err
			}
			below, err := descendants(child)
			if err != nil {
				return nil, err
			}
			all = append(append(all, child), below...)
		}
	}
	return all, nil
}
