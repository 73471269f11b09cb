package local_test

import (
	"os"
	"syscall"
	"testing"
)

// TestMain keeps the databases of these tests in memory where there is room:
// every test starts one of its own, and laying out its thousand files is most of
// the work on a disk.
//
// Tests that take seconds and leave a processor idle at times run side by side;
// those that disturb many runs do so by themselves.
func TestMain(m *testing.M) {
	const memory, room = "/dev/shm", 4 << 30 // bytes
	var s syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &s) == nil && s.Bavail*uint64(s.Bsize) > room {
		if err := os.Setenv("TMPDIR", memory); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
