package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"
)

// A fill is a blob on its way to disk. Everybody who wants it reads the growing file.
type fill struct {
	answered chan struct{} // closed when size, or err, is known
	answer   func()        // closes it, once

	mu      sync.Mutex
	more    *sync.Cond
	size    int64
	visible int64 // bytes that readers may see; the last step counts only when the digest is right
	err     error
}

func newFill() *fill {
	f := &fill{answered: make(chan struct{})}
	f.answer = sync.OnceFunc(func() { close(f.answered) })
	f.more = sync.NewCond(&f.mu)
	return f
}

// follow answers from the fill of a blob, which it begins if there is none.
func (b *bare) follow(w http.ResponseWriter, path, name string) error {
	b.mu.Lock()
	f := b.fills[path]
	if f == nil {
		f = newFill()
		b.fills[path] = f
		go b.fill(f, path, name)
	}
	b.mu.Unlock()
	<-f.answered
	if _, err := f.until(-1); err != nil {
		return err
	}
	file, err := os.Open(b.partial(name))
	if err != nil {
		file, err = os.Open(b.complete(name)) // the fill has ended meanwhile
	}
	if err != nil {
		return err
	}
	defer file.Close()
	h := w.Header()
	b.describe(h, name)
	h["Content-Length"] = []string{strconv.FormatInt(f.size, 10)}
	return f.send(w, file)
}

// send copies the file as it grows. The file and the server's own writer, with nothing around either, make it sendfile.
func (f *fill) send(w io.Writer, file *os.File) error {
	for at := int64(0); at < f.size; {
		visible, err := f.until(at)
		if err != nil {
			panic(http.ErrAbortHandler) // the answer has begun: all that is left is to cut it
		}
		n, err := io.Copy(w, io.LimitReader(file, visible-at))
		if err != nil {
			return nil // the client has left
		}
		at += n
	}
	return nil
}

// until waits for bytes beyond at.
func (f *fill) until(at int64) (visible int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.visible <= at && f.err == nil {
		f.more.Wait()
	}
	return f.visible, f.err
}

func (f *fill) publish(visible int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.visible, f.err = visible, err
	f.more.Broadcast()
}

// fill brings a blob to disk and gives it its name.
func (b *bare) fill(f *fill, path, name string) {
	err := b.download(f, path, name)
	if err != nil {
		os.Remove(b.partial(name))
		f.publish(0, err)
		f.answer()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.fills, path)
}

func (b *bare) download(f *fill, path, name string) error {
	res, err := b.get(path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.ContentLength < 0 {
		return errors.New(path + ": origin does not say how long it is")
	}
	f.size = res.ContentLength
	file, err := os.Create(b.partial(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := allocate(file, f.size); err != nil {
		return err
	}
	f.answer()
	if err := f.receive(file, res.Body, name); err != nil {
		return err
	}
	return os.Rename(file.Name(), b.complete(name))
}

// receive reads body in steps of a block: each is written, hashed and published.
func (f *fill) receive(file io.Writer, body io.Reader, name string) error {
	h, buf := sha256.New(), make([]byte, blockSize)
	for at := int64(0); at < f.size; {
		n, err := io.ReadFull(body, buf[:min(blockSize, f.size-at)])
		if err != nil {
			return err
		}
		if _, err := file.Write(buf[:n]); err != nil {
			return err
		}
		h.Write(buf[:n])
		at += int64(n)
		if at == f.size && digest.NewDigest(digest.SHA256, h).String() != name {
			return fmt.Errorf("%s: wrong bytes", name)
		}
		f.publish(at, nil)
	}
	return nil
}

// verify compares bytes with the digest they should have.
func verify(want string, body []byte) error {
	if got := digest.FromBytes(body).String(); got != want {
		return fmt.Errorf("%s: wrong bytes, they are %s", want, got)
	}
	return nil
}
