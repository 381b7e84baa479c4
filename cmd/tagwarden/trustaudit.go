package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/audit"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

const (
	// maxAuditLine is how many bytes a line of an audit log may have.
	maxAuditLine = 1 << 20
	// maxOthers is how many earlier digests of a tag are told apart.
	maxOthers = 100
)

// A seenTag is what an audit log says was served under a tag.
type seenTag struct {
	name   trust.Name
	digest digest.Digest // served last
	times  int           // served, with any digest
	last   time.Time
	others map[digest.Digest]struct{} // served, the last among them
	fault  error                      // why it cannot be signed; nil if it can
}

// readSeen reads the tags under which content was served, sorted by name. Lines that are no decision are counted.
func readSeen(ctx context.Context, file string, stdin io.Reader) (seen []*seenTag, bad int, err error) {
	r := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, 0, err
		}
		defer f.Close()
		r = f
	}
	all := make(map[trust.Name]*seenTag)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxAuditLine)
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := addSeen(all, lines.Bytes()); errors.Is(err, errNoDecision) {
			bad++
		} else if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", safe(file), err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", safe(file), err)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *seenTag) int {
		return cmp.Compare(a.name.String(), b.name.String())
	}), bad, nil
}

// errNoDecision is returned by addSeen for a line that is no decision.
var errNoDecision = errors.New("no decision")

// addSeen adds one line of a log.
func addSeen(all map[trust.Name]*seenTag, line []byte) error {
	var d struct {
		Time                              time.Time
		Event, Name, Tag, Verdict, Served string
	}
	if json.Unmarshal(line, &d) != nil || d.Event == "" && d.Verdict == "" {
		return errNoDecision
	}
	if d.Event != "" || d.Tag == "" || d.Served == "" {
		return nil
	}
	// What is shown and signed has to be what it looks like.
	full, err := names.Repository(d.Name)
	served := digest.Digest(d.Served)
	if err != nil || full != d.Name || names.Tag(d.Tag) != nil || served.Validate() != nil {
		return errNoDecision
	}
	n := trust.Name{Repository: d.Name, Tag: d.Tag}
	s := all[n]
	if s == nil {
		if len(all) >= audit.MaxTags {
			return fmt.Errorf("more than %d tags", audit.MaxTags)
		}
		s = &seenTag{name: n, others: make(map[digest.Digest]struct{})}
		all[n] = s
	}
	s.times++
	if len(s.others) < maxOthers {
		s.others[served] = struct{}{}
	}
	// Logs need not come in the order of time.
	if !d.Time.Before(s.last) {
		s.last, s.digest = d.Time, served
	}
	return nil
}
