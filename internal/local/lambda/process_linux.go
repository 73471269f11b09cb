package lambda

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// processAttributes puts the process into a group of its own and has the kernel
// kill it when this program dies, however it dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup kills a process and everything it started; one that is gone already
// is no error.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// liveRSS is the greatest resident memory (VmHWM) of a living process in bytes, 0
// when it cannot be read.
func liveRSS(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	if !ok {
		return 0
	}
	field := bytes.Fields(rest)
	if len(field) == 0 {
		return 0
	}
	kb, err := strconv.ParseInt(string(field[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

// exitRSS is 0: on Linux ru_maxrss also counts the memory of the parent between
// fork and exec, so that it says more about this program than about the process.
func exitRSS(*os.ProcessState) int64 { return 0 }
