package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// doubtBefore is how long before the last that a process did its content may not have been brought to the disk.
	doubtBefore = 10 * time.Minute
	// maxDoubts is how many deaths are told apart. What is between the two earliest is doubted where there are more.
	maxDoubts = 16
)

// A window is a time in which files may have changed without being durable.
type window struct{ from, to time.Time }

// doubtAfter returns what is to be doubted when processes have died that did something last at the given times. The clock may
// have been set back since, as a power cut does to a machine that has none of its own.
func doubtAfter(died ...time.Time) window {
	return window{slices.MinFunc(died, time.Time.Compare).Add(-doubtBefore), slices.MaxFunc(append(died, time.Now()), time.Time.Compare)}
}

// and returns the window that has all of both.
func (w window) and(v window) window {
	if v.from.Before(w.from) {
		w.from = v.from
	}
	if v.to.After(w.to) {
		w.to = v.to
	}
	return w
}

// doubts tells whether a file changed in the window.
func (w window) doubts(info fs.FileInfo) bool {
	at := changed(info)
	return !at.Before(w.from) && !at.After(w.to)
}

// doubted tells whether a file is to be proven before it is used.
func (s *Store) doubted(info fs.FileInfo) bool {
	return slices.ContainsFunc(s.doubts, func(w window) bool { return w.doubts(info) })
}

// suspect takes in what is to be doubted when processes have died that did something last at the given times, and keeps it
// durably. What was doubted before and not proven still is: it was not asked for, or a short-lived command was first to find
// the traces of the dead. A disk that does not take it does not keep this process from doubting.
func (s *Store) suspect(died []time.Time) error {
	// PRODUCT: invariant 3: each death is doubted, also one that an earlier sweep could not note.
	s.doubts = append(s.doubts, doubtAfter(died...))
	if len(s.doubts) > maxDoubts {
		// The clock may have been set back between the two, so neither need be the earlier one.
		s.doubts[1] = s.doubts[1].and(s.doubts[0])
		s.doubts = s.doubts[1:]
	}
	var lines bytes.Buffer
	for _, w := range s.doubts {
		fmt.Fprintf(&lines, "%d %d\n", w.from.UnixNano(), w.to.UnixNano())
	}
	f, err := os.CreateTemp(s.dir, "doubts*.new") // other processes may be at it
	if err != nil {
		return err
	}
	_, err = f.Write(lines.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.dir, "doubts"))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(s.dir)
}

// readDoubts reads what another Store has written. Where it is there and cannot be read, everything is doubted.
func readDoubts(file string) []window {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(f, 64*maxDoubts))
		f.Close()
	}
	// PRODUCT: invariant 3: what cannot be known to be right is proven before it is served.
	if err != nil {
		return []window{{time.Unix(0, 0), time.Now()}}
	}
	var all []window
	for line := range strings.Lines(string(data)) {
		var from, to int64
		if _, err := fmt.Sscanf(line, "%d %d", &from, &to); err == nil && len(all) < maxDoubts {
			all = append(all, window{time.Unix(0, from), time.Unix(0, to)})
		}
	}
	return all
}
