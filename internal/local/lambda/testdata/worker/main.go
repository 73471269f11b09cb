// Command worker is the bootstrap that the tests run: it does what its event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string
	Bytes int
	Sleep int // milliseconds
	Type  string
}

var calls int

func handle(ctx context.Context, e event) (any, error) {
	calls++
	time.Sleep(time.Duration(e.Sleep) * time.Millisecond)
	switch e.Do {
	case "fail":
		return nil, messages.InvokeResponse_Error{Type: e.Type, Message: "as asked"}
	case "plain":
		return nil, errors.New("a plain error")
	case "panic":
		panic("as asked")
	case "exit":
		os.Exit(3)
	case "big":
		return strings.Repeat("x", e.Bytes), nil
	case "grow":
		b := make([]byte, e.Bytes)
		for i := range b {
			b[i] = byte(i)
		}
		return len(b), nil
	case "env":
		return os.Environ(), nil
	case "log":
		fmt.Println("a line on stdout")
		fmt.Fprintln(os.Stderr, "a line on stderr")
	case "child":
		c := exec.Command("/bin/sleep", "300")
		if err := c.Start(); err != nil {
			return nil, err
		}
		return c.Process.Pid, nil
	}
	deadline, _ := ctx.Deadline()
	lc, _ := lambdacontext.FromContext(ctx)
	return map[string]any{
		"pid": os.Getpid(), "calls": calls, "left": time.Until(deadline).Milliseconds(), "request": lc.AwsRequestID,
		"arn": lc.InvokedFunctionArn, "trace": os.Getenv("_X_AMZN_TRACE_ID"),
	}, nil
}

func main() { lambda.Start(handle) }
