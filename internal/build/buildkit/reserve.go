package buildkit

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	reserveBytes = 16 << 20
	reserveTick  = time.Second
)

// keepReserve keeps some of the disk for the engine's own records. Without room for them it cannot write down that what
// filled the disk is thrown away, keeps it, and fails every build from then on. The reserve is let go when the disk is full,
// and taken again when there is room for it twice.
func keepReserve(ctx context.Context, root string) {
	path := filepath.Join(root, "reserve")
	tick := time.NewTicker(reserveTick)
	defer tick.Stop()
	for {
		var disk unix.Statfs_t
		if err := unix.Statfs(root, &disk); err == nil {
			adjustReserve(path, disk.Bavail*uint64(disk.Bsize)) // what cannot be done now is tried again
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func adjustReserve(path string, free uint64) {
	const full = 1 << 20
	_, err := os.Stat(path)
	switch {
	case err == nil && free < full:
		_ = os.Remove(path)
	case err != nil && free >= 2*reserveBytes:
		_ = takeReserve(path)
	}
}

// takeReserve makes a file that has its blocks; one that could not have them is none.
func takeReserve(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, reserveBytes); err != nil {
		_ = os.Remove(path)
		return err
	}
	return nil
}
