//go:build !linux

package lambda

import (
	"os"
	"runtime"
	"syscall"
)

// processAttributes puts the process into a group of its own. There is no
// parent-death signal here: a process ends when its Runtime API no longer answers.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills a process and everything it started; one that is gone already
// is no error.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// liveRSS is unknown before the process ends.
func liveRSS(int) int64 { return 0 }

// exitRSS is the greatest resident memory of an ended process, in bytes.
func exitRSS(s *os.ProcessState) int64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss) // bytes there, kibibytes elsewhere
	}
	return int64(u.Maxrss) << 10
}
