package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// stopTimeout bounds an orderly end; the server is killed after it.
const stopTimeout = 20 * time.Second

// guard runs the server until it ends by itself or standard input ends. Only
// the process that started us holds the other end of that pipe, so its death,
// however sudden, is the end of input. Then the server is stopped: in order
// when folder is "keep", at once when folder names the temporary folder that
// holds its data, which is removed after it.
func guard(folder string, command []string) int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Dir = "/"
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "start the server:", err)
		return 1
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	orphaned := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin) // an error is an end as well
		close(orphaned)
	}()

	keep := folder == "keep"
	stop := syscall.SIGQUIT // immediate: nobody will read these data again
	if keep {
		stop = syscall.SIGINT // fast: roll back, write a checkpoint, end
	}
	code := 0
	select {
	case err := <-ended:
		// Our parent is alive: it may try again in the same folder.
		keep = true
		if err != nil {
			fmt.Fprintln(os.Stderr, "the server ended:", err)
			code = 1
		}
	case <-orphaned:
		end(c.Process, stop, ended)
	case <-signals:
		end(c.Process, stop, ended)
	}
	if !keep {
		// The server's children may still be letting go of their files.
		for range 20 {
			if os.RemoveAll(folder) == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return code
}

// end stops the server with s, by force after stopTimeout. Its children notice
// the death of their parent and end too.
func end(p *os.Process, s syscall.Signal, ended <-chan error) {
	p.Signal(s) // an error means that it has ended
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		p.Kill()
		<-ended
	}
}
