package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The cache holds, for one version of everything that goes into it, a folder
//
//	native/      the programs and libraries, readable by the server's user, with our extensions added
//	attendant    the program that guards the server and fetches objects for it
//	data/        a data folder fresh from initdb, with Aurora's roles
//
// It is built in a folder of another name and renamed when complete: a folder
// of the right name is whole, whoever built it and whatever crashed.

//go:embed extension
var extensions embed.FS

//go:embed attendant/*.go
var attendantSource embed.FS

// serverUID is who runs the server when we are root: nobody, who needs no
// account on the machine. -1 is ourselves.
func serverUID() int {
	if os.Getuid() == 0 {
		return 65534
	}
	return -1
}

// asServer makes c run as the server's user, in a session of its own, so that
// an interrupt from the terminal reaches only us and we end it in order.
func asServer(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if uid := serverUID(); uid >= 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
}

// giveToServer makes path, and all below it, the server's user's. A file that
// goes meanwhile is somebody else's, who renames it into place.
func giveToServer(path string) error {
	uid := serverUID()
	if uid < 0 {
		return nil
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(p, uid, uid)
		}
		if p != path && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// cacheRoot returns the folder of all versions. Root's own cache folder is
// closed to the server's user, hence /var/tmp; a folder there that is not
// ours, or that others may write, is refused.
func cacheRoot() (string, error) {
	root := "/var/tmp/godwit-postgres"
	mode := os.FileMode(0o755)
	if serverUID() < 0 {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the user's cache folder: %w", err)
		}
		root, mode = filepath.Join(user, "godwit-postgres"), 0o700
	}
	if err := os.MkdirAll(root, mode); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	st, err := os.Lstat(root)
	if err != nil {
		return "", fmt.Errorf("look at the cache folder: %w", err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || !ok || int(sys.Uid) != os.Getuid() || st.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("use cache folder %s: it is not a folder that only its owner (uid %d) may write; remove it", root, os.Getuid())
	}
	return root, nil
}

// prepare returns the cache folder for the installed version, building it on
// first use (about 2 s).
func prepare(ctx context.Context) (string, error) {
	dir, err := packageDir()
	if err != nil {
		return "", err
	}
	if err := Installed(); err != nil {
		return "", err
	}
	key, err := cacheKey(dir)
	if err != nil {
		return "", err
	}
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	return fill(root, key, func(part string) error { return build(ctx, dir, part) })
}

// fill returns the folder of a key, built beside it by build if it is absent.
// Of several processes one builds and the others wait; the lock ends with its
// process, and nothing would break without it but the work done twice.
func fill(root, key string, build func(part string) error) (string, error) {
	whole := filepath.Join(root, key)
	if used(whole) {
		return whole, nil
	}
	lock, err := os.OpenFile(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the cache's lock: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	if used(whole) {
		return whole, nil
	}
	sweep(root)
	part, err := os.MkdirTemp(root, "part-")
	if err != nil {
		return "", fmt.Errorf("make a folder to build the cache in: %w", err)
	}
	defer os.RemoveAll(part) // gone already if renamed
	if err := build(part); err != nil {
		return "", fmt.Errorf("build the PostgreSQL cache: %w", err)
	}
	if err := os.Rename(part, whole); err != nil && !exists(whole) {
		return "", fmt.Errorf("keep the PostgreSQL cache: %w", err)
	}
	return whole, nil // ours, or that of a process that was faster
}

// used reports whether a cache folder exists, and marks it as in use.
func used(whole string) bool {
	now := time.Now()
	return os.Chtimes(whole, now, now) == nil
}

// sweep removes what crashed builds left more than an hour ago and versions
// that no start has used for two weeks.
func sweep(root string) {
	for pattern, age := range map[string]time.Duration{"part-*": time.Hour, "17-*": 14 * 24 * time.Hour} {
		old, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // only a bad pattern
		}
		for _, p := range old {
			if st, err := os.Stat(p); err == nil && time.Since(st.ModTime()) > age {
				os.RemoveAll(p) // best effort: it only costs space
			}
		}
	}
}

// cacheKey hashes everything that the cache is made of.
func cacheKey(dir string) (string, error) {
	h := sha256.New()
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", fmt.Errorf("read the npm lock file: %w", err)
	}
	fmt.Fprintf(h, "%s %s %s %d\n%s\n%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, os.Getuid(), lock, rolesSQL+hostRules+strings.Join(initdbArgs, " "))
	for _, tree := range []embed.FS{extensions, attendantSource} {
		err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := tree.ReadFile(path)
			fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return "17-" + hex.EncodeToString(h.Sum(nil)[:8]), nil
}

func build(ctx context.Context, dir, part string) error {
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	native := filepath.Join(part, "native")
	if err := copyTree(filepath.Join(dir, nativeDir()), native); err != nil {
		return fmt.Errorf("copy the programs: %w", err)
	}
	if err := restoreLinks(native); err != nil {
		return err
	}
	share := filepath.Join(native, "share", "postgresql", "extension")
	files, err := extensions.ReadDir("extension")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := extensions.ReadFile("extension/" + f.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(share, f.Name()), b, 0o644); err != nil {
			return fmt.Errorf("add extension file %s: %w", f.Name(), err)
		}
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(part, "attendant"), "./attendant")
	c.Dir = dir
	// For this machine, whatever the caller's environment builds functions for.
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the attendant: %w: %s", err, tail(out))
	}
	if err := os.Chmod(filepath.Join(part, "attendant"), 0o755); err != nil {
		return err
	}
	return initData(ctx, native, filepath.Join(part, "data"))
}

var initdbArgs = []string{
	"-U", "rdsadmin", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions",
	// As on Aurora, text sorts by language unless a column says COLLATE "C": what relies on byte order must say so.
	"--locale=C", "--locale-provider=icu", "--icu-locale=en-US",
}

// initData makes a data folder with Aurora's roles in it.
func initData(ctx context.Context, native, data string) error {
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := giveToServer(data); err != nil {
		return err
	}
	run := func(stdin string, name string, args ...string) error {
		c := exec.CommandContext(ctx, filepath.Join(native, "bin", name), args...)
		asServer(c)
		c.Env, c.Dir, c.Stdin = serverEnv(), "/", strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		// Single-user mode reports an SQL error and still exits 0.
		if err == nil && (strings.Contains(string(out), "ERROR:") || strings.Contains(string(out), "FATAL:")) {
			err = errors.New("it reports an error")
		}
		if err != nil {
			return fmt.Errorf("run %s: %w: %s", name, err, tail(out))
		}
		return nil
	}
	if err := run("", "initdb", append([]string{"-D", data}, initdbArgs...)...); err != nil {
		return err
	}
	if err := run(rolesSQL, "postgres", "--single", "-j", "-F", "-D", data, "postgres"); err != nil {
		return fmt.Errorf("create Aurora's roles: %w", err)
	}
	return os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hostRules), 0o600)
}

func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=/"}
}

// copyTree copies folders, files and links, and makes what it copies readable
// by everybody if anyone could read it (a umask of 077 must not lock the
// server's user out).
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.Mkdir(dst, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, dst)
		default:
			mode := os.FileMode(0o644)
			if info.Mode()&0o100 != 0 {
				mode = 0o755
			}
			return copyFile(path, dst, mode)
		}
	})
}

func copyFile(from, to string, mode os.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	if err := dst.Chmod(mode); err != nil { // whatever the umask is
		dst.Close()
		return err
	}
	return dst.Close()
}

// restoreLinks makes the links between libraries that the npm package lists in
// pg-symlinks.json, since an npm that runs no install scripts leaves them out.
func restoreLinks(native string) error {
	b, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the list of library links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(b, &links); err != nil {
		return fmt.Errorf("parse the list of library links: %w", err)
	}
	for _, l := range links {
		at := filepath.Join(native, strings.TrimPrefix(filepath.ToSlash(l.Target), "native/"))
		if exists(at) {
			continue
		}
		if err := os.Symlink(filepath.Base(l.Source), at); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link library %s: %w", l.Target, err)
		}
	}
	return nil
}
