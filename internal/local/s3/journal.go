package s3

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// note is one line of the journal: an object that was put, or deleted when it
// has no file. The last line of a key counts.
type note struct {
	Bucket, Key string
	File        string            `json:",omitempty"`
	Size        int64             `json:",omitempty"`
	Hash        []byte            `json:",omitempty"`
	Header      map[string]string `json:",omitempty"`
	Modified    time.Time
}

// openJournal reads what an earlier service kept in dir and goes on writing
// behind it. A line that a crash cut short is the last one and is dropped: its
// request was never answered.
func (s *store) openJournal() error {
	name := filepath.Join(s.dir, "journal.jsonl")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.journal, s.found = file, map[string]map[string]*object{}
	lines := bufio.NewReader(file)
	var whole int64
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		var n note
		if err := json.Unmarshal(line, &n); err != nil {
			return fmt.Errorf("read %s at byte %d: %w", name, whole, err)
		}
		whole += int64(len(line))
		if s.found[n.Bucket] == nil {
			s.found[n.Bucket] = map[string]*object{}
		}
		if n.File == "" {
			delete(s.found[n.Bucket], n.Key)
			continue
		}
		s.found[n.Bucket][n.Key] = &object{file: n.File, size: n.Size, hash: n.Hash, header: n.Header, modified: n.Modified}
	}
	for bucketName, objects := range s.found {
		for key, o := range objects {
			if info, err := os.Stat(o.file); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != o.size {
				if !s.owns(o.file) {
					delete(objects, key) // the user's own file, see PutFile
					continue
				}
				return fmt.Errorf("object %s/%s: its file %s is gone or has changed: start with another folder", bucketName, key, o.file)
			}
		}
	}
	if err := file.Truncate(whole); err != nil {
		return err
	}
	_, err = file.Seek(whole, io.SeekStart)
	return err
}

// note writes that o is now the object of a key, or that there is none when o is
// nil. The caller holds the lock.
func (s *store) note(bucketName, key string, o *object) error {
	if s.journal == nil {
		return nil
	}
	n := note{Bucket: bucketName, Key: key, Modified: s.now()}
	if o != nil {
		n.File, n.Size, n.Hash, n.Header, n.Modified = o.file, o.size, o.hash, o.header, o.modified
	}
	line, err := json.Marshal(n)
	if err == nil {
		_, err = s.journal.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("note object %s/%s: %w", bucketName, key, err)
	}
	return nil
}
