package cache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// A download is the part of a fill that only its own goroutine touches.
type download struct {
	*fill
	store   *Store
	silence *time.Timer // ends the fill when the origin is silent for too long
	partial *os.File
	hash    hash.Hash // of what is in the partial file
	at      progress  // as published last
}

// download brings the content of f to disk and publishes how far it is, up to verified. After an error nothing is left.
func (s *Store) download(f *fill, o Origin) error {
	// An earlier fill may have ended after the caller's look at the disk and before it looked for a running one.
	if size, err := s.stat(f.digest, f.path); err == nil {
		f.publish(progress{size: size})
		return nil
	}
	s.begun.Add(1)
	d := &download{fill: f, store: s, hash: newHash(f.digest), at: progress{size: -1}}
	// PRODUCT: invariant 9: every wait has a limit.
	d.silence = time.AfterFunc(s.stall, func() {
		f.cancel(fmt.Errorf("origin sent nothing for %s", s.stall))
	})
	err := d.bring(o)
	d.silence.Stop()
	if err != nil && f.ctx.Err() != nil && !errors.Is(err, ErrDisk) {
		// What the origin says about being cut off is not the reason.
		return f.stopped()
	}
	return err
}

// bring asks the origin, receives and verifies its content and gives it its name.
func (d *download) bring(o Origin) (err error) {
	body, err := d.ask(o)
	if err != nil {
		return err
	}
	hangUp := d.hangUp(body)
	defer hangUp()

	if err := d.create(); err != nil {
		return diskError(d.digest, err)
	}
	// The one clean-up for every way out. After a commit there is neither an open file nor one of that name.
	defer func() {
		if err != nil {
			d.partial.Close()
			os.Remove(d.partial.Name())
		}
	}()

	if err := d.receive(body); err != nil {
		return err
	}
	if err := d.verify(); err != nil {
		return err
	}
	hangUp() // the origin need not wait for the disk

	// The same content may have come from another place meanwhile. What readers hold of this file stays readable.
	if _, err := d.store.stat(d.digest, d.path); err == nil {
		return errors.Join(d.partial.Close(), os.Remove(d.partial.Name()))
	}

	// It counts before it has its name, lest the first count comes across it first.
	d.store.total.add(d.path, d.at.size)
	if err := commit(d.partial, d.path); err != nil {
		d.store.total.add(d.path, -d.at.size)
		return diskError(d.digest, err)
	}
	return nil
}

// ask calls the origin and checks what it claims.
func (d *download) ask(o Origin) (io.ReadCloser, error) {
	body, size, err := o(d.ctx, 0)
	d.silence.Stop()
	if err != nil {
		return nil, originError(d.digest, err)
	}
	// PRODUCT: invariant 9: every body has a limit.
	switch {
	case size < -1:
		err = &ContentError{Want: d.digest, Claimed: size}
	case size > d.store.maxBlob:
		err = fmt.Errorf("%s: %w: origin claims %d bytes, the limit is %d", d.digest, ErrTooLarge, size, d.store.maxBlob)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	d.at.size = size
	return body, nil
}

// hangUp returns a function that closes body the first time it is called. The end of the fill's context closes it too, so
// that a Read that hangs comes back.
func (d *download) hangUp(body io.Closer) func() {
	stop := context.AfterFunc(d.ctx, func() { body.Close() })
	return func() {
		if stop() {
			body.Close()
		}
	}
}

// create makes the partial file, opens it for the readers and lets the callers go on.
func (d *download) create() error {
	// The folder can have gone from under a running process, by somebody who empties a cache in a hurry.
	if err := os.MkdirAll(d.store.partial, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(d.store.partial, d.digest.Algorithm().String()+"-"+d.digest.Encoded()+"-*")
	if err != nil {
		return err
	}
	reading, err := os.Open(file.Name())
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	d.partial = file
	d.at.stage = streaming
	d.start(reading, d.at)
	return nil
}

// receive reads body to its end.
func (d *download) receive(body io.Reader) error {
	buf := d.store.buffers.Get().(*[step]byte)
	defer d.store.buffers.Put(buf)
	for empty := 0; ; {
		n, err := d.read(body, buf[:])
		if n > 0 {
			empty = 0
			if err := d.take(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return originError(d.digest, err)
		case n == 0:
			if empty++; empty > 100 {
				return originError(d.digest, io.ErrNoProgress)
			}
		}
	}
}

// read is one Read of body. The origin may be silent for so long, and what the disk takes afterwards is not its fault.
func (d *download) read(body io.Reader, buf []byte) (int, error) {
	d.silence.Reset(d.store.stall)
	defer d.silence.Stop()
	return body.Read(buf)
}

// take puts bytes into the file and the hash, and before the readers.
func (d *download) take(b []byte) error {
	d.at.written += int64(len(b))
	// PRODUCT: invariant 9: every body has a limit.
	switch {
	case d.at.size >= 0 && d.at.written > d.at.size:
		return &ContentError{Want: d.digest, Claimed: d.at.size, Length: d.at.written}
	case d.at.written > d.store.maxBlob:
		return fmt.Errorf("%s: %w: origin sent more than %d bytes", d.digest, ErrTooLarge, d.store.maxBlob)
	}
	if _, err := d.partial.Write(b); err != nil {
		return diskError(d.digest, err)
	}
	d.hash.Write(b)
	d.publish(d.at)
	return nil
}

// verify compares what came with what was asked for and claimed, and lets the readers have the rest of it.
func (d *download) verify() error {
	// PRODUCT: invariant 3: a complete wrong blob never leaves.
	got := sum(d.digest, d.hash)
	if got != d.digest || d.at.size >= 0 && d.at.size != d.at.written {
		return &ContentError{Want: d.digest, Got: got, Claimed: d.at.size, Length: d.at.written}
	}
	d.at.size = d.at.written
	d.at.stage = verified
	d.publish(d.at)
	return nil
}
