package main

import (
	"fmt"
	"math/bits"
	"runtime"

	"golang.org/x/sys/unix"
)

// machine says on what kind of machine this runs, as one sentence: enough to compare, nothing that names it.
func machine() (string, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", fmt.Errorf("sysinfo: %w", err)
	}
	return fmt.Sprintf("Measured on %d cores (%s, %s), %s of memory, with %s.\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		memoryClass(uint64(info.Totalram)*uint64(info.Unit)), runtime.Version()), nil
}

// memoryClass is a size between two powers of two: "16 to 32 GiB".
func memoryClass(size uint64) string {
	const gib = 1 << 30
	whole := (size + gib - 1) / gib
	if whole <= 1 {
		return "at most 1 GiB"
	}
	above := uint64(1) << bits.Len64(whole-1)
	return fmt.Sprintf("%d to %d GiB", above/2, above)
}
