package journal

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A gunzip decompresses a source. It tells a source that ends too early, which
// stays so, from a connection that broke, which is worth another try: both come
// as io.ErrUnexpectedEOF.
type gunzip struct {
	z   *gzip.Reader
	src *ending
}

// An ending notes whether its source ended.
type ending struct {
	io.Reader
	ended bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.ended = e.ended || err == io.EOF
	return n, err
}

// unzip returns what is compressed in src.
func unzip(src io.Reader) (io.Reader, error) {
	e := &ending{Reader: src}
	z, err := gzip.NewReader(e)
	g := &gunzip{z: z, src: e}
	if err != nil {
		return nil, fmt.Errorf("open gzip: %w", g.explain(err))
	}
	return g, nil
}

func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	return n, g.explain(err)
}

func (g *gunzip) explain(err error) error {
	if err == io.ErrUnexpectedEOF && g.src.ended {
		return fmt.Errorf("gzip data ends early: %w: %w", ErrTruncated, err)
	}
	return err
}
