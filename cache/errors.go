package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
)

var (
	// ErrClosed is returned by Get and Fill of a closed Store, and to the readers of the fills that closing it stopped.
	ErrClosed = errors.New("cache is closed")

	// ErrTooLarge is returned by Fill, and to its readers, for content above Options.MaxBlob or Options.Size, and by
	// Blob.Bytes for content above the caller's limit.
	ErrTooLarge = errors.New("content is too large")

	// ErrDisk is returned where the folder cannot be read, and by a fill that the disk does not take when too many of those
	// run already. The cause follows it. It says nothing about the origin, whose content may be right.
	ErrDisk = errors.New("cache disk failed")

	// ErrGone is returned by Blob.Open and Blob.Bytes, and to readers, for content that cannot be had of this Blob any more:
	// it was evicted, or is not kept and has passed by. Asking the Store again brings it.
	ErrGone = errors.New("content is gone from the cache")
)

// Why fills end that nobody waits for, which are no failures.
var (
	// errAbandoned ends a fill that still waits for its turn when the last caller that wanted it has left.
	errAbandoned = errors.New("nobody waits for it")
	// errUnread ends a fill that nobody has read for a while.
	errUnread = errors.New("nobody has read it for a while")
	// errStuck ends one that the disk does not take and whose readers do not go on.
	errStuck = errors.New("not on disk, and its readers do not go on")
)

// A ContentError is returned to callers and readers of a fill whose origin sent something else than was asked for, or
// claimed an impossible size. Nothing of it was kept, and no reader was given all of it.
type ContentError struct {
	Want    digest.Digest // what was asked for
	Got     digest.Digest // what came; empty if it was not read to its end
	Claimed int64         // the size the origin had claimed, in bytes; -1 if it claimed none
	Length  int64         // how many bytes came, at least
}

// Error says what was wanted and what came.
func (e *ContentError) Error() string {
	switch {
	case e.Claimed < -1:
		return fmt.Sprintf("%s: origin claims a size of %d bytes", e.Want, e.Claimed)
	case e.Claimed >= 0 && e.Length > e.Claimed:
		return fmt.Sprintf("%s: origin sent more than the %d bytes it had claimed", e.Want, e.Claimed)
	case e.Claimed > e.Length:
		return fmt.Sprintf("%s: origin sent %d of the %d bytes it had claimed", e.Want, e.Length, e.Claimed)
	}
	return fmt.Sprintf("%s: origin sent other content, %d bytes of %s", e.Want, e.Length, e.Got)
}

// An Event is something that happened in the background.
type Event struct {
	Kind   EventKind
	Digest digest.Digest // of the content concerned; empty for CountFailed and EvictFailed
	Err    error         // what happened, in a line
}

// An EventKind names an event in logs and metrics.
type EventKind string

const (
	// FillFailed: a fill failed, for the reason its readers were given. Closing the Store is no failure.
	FillFailed EventKind = "fill_failed"

	// Damaged: something on disk was not what its name says, and was taken away or aside. The next Fill fetches it again.
	Damaged EventKind = "damaged"

	// CountFailed: a part of the folder could not be counted, so that Stats.Bytes is too low.
	CountFailed EventKind = "count_failed"

	// EvictFailed: content could not be removed to make room.
	EvictFailed EventKind = "evict_failed"

	// Uncached: the disk is full or broken. The content passes by its readers and is not kept: an alarm, since everything
	// comes from its origin for as long as that lasts.
	Uncached EventKind = "uncached"
)

// originError wraps an error of an origin. Readers get it from Read, where it must not pass for the end of the content.
func originError(d digest.Digest, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: origin: %v: %w", d, err, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: origin: %w", d, err)
}

// diskError wraps an error of the file system that concerns the content of digest d. A file that is missing where there
// must be one is not a miss.
func diskError(d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: %v", d, ErrDisk, err)
	}
	return fmt.Errorf("%s: %w: %w", d, ErrDisk, err)
}

// noEnd makes an io.EOF an error that cannot be taken for the end of the content: the bytes were written, and are lost.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
