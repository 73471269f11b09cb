package lambda

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// starter starts processes from one operating system thread that lives as long
// as the function does. Linux sends a process its parent-death signal when the
// thread that started it ends, not when the program does; starting from a thread
// of the runtime's choosing would kill functions at random.
type starter struct {
	work chan func()
	once sync.Once
	done chan struct{}
}

func newStarter() *starter {
	s := &starter{work: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

func (s *starter) run(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	select {
	case s.work <- func() { result <- cmd.Start() }:
		return <-result
	case <-s.done:
		return errors.New("the function is closed")
	}
}

func (s *starter) stop() { s.once.Do(func() { close(s.done) }) }
