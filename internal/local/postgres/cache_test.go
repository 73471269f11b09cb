package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestCacheIsWholeOrAbsent(t *testing.T) {
	root := t.TempDir()
	if _, err := fill(root, "k", func(part string) error {
		if err := os.WriteFile(filepath.Join(part, "half"), nil, 0o600); err != nil {
			t.Error(err)
		}
		return errors.New("crash")
	}); err == nil {
		t.Fatal("got nil, want the builder's error")
	}
	if left, _ := filepath.Glob(filepath.Join(root, "[^l]*")); len(left) != 0 {
		t.Errorf("got %v left behind, want nothing but the lock", left)
	}
	// What a killed builder leaves is removed, but not what another is building now.
	for _, d := range []string{"part-old", "part-new", "17-old", "17-new"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	older := old.AddDate(0, -1, 0)
	for d, at := range map[string]time.Time{"part-old": old, "17-old": older, "17-new": old} {
		if err := os.Chtimes(filepath.Join(root, d), at, at); err != nil {
			t.Fatal(err)
		}
	}
	// Several processes at once: every one gets a whole folder.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := fill(root, "k", func(part string) error {
				if err := os.WriteFile(filepath.Join(part, "first"), nil, 0o600); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(part, "last"), nil, 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(dir, "last")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range left {
		names = append(names, d.Name())
	}
	if want := []string{"17-new", "k", "lock", "part-new"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestMissingLibraryLinksAreRestored(t *testing.T) {
	native := t.TempDir()
	if err := os.Mkdir(filepath.Join(native, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"pg-symlinks.json": `[{"source":"native/lib/libx.so.1.2","target":"native/lib/libx.so"}]`,
		"lib/libx.so.1.2":  "library",
	} {
		if err := os.WriteFile(filepath.Join(native, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // it may be there already
		if err := restoreLinks(native); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(native, "lib", "libx.so"))
	if err != nil || string(got) != "library" {
		t.Errorf("got %q, %v, want the library through its link", got, err)
	}
}
