package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// maxLine is the most bytes of a line of the audit log that is looked at.
const maxLine = 1 << 20

// beforeCrash is how long before the process was killed a line may have been lost: it goes to the disk from a queue.
const beforeCrash = 2 * time.Second

// audited looks for the sample of decisions in all audit files: each has to be there, once.
// PRODUCT: invariant 10
func (s *soak) audited() error {
	files, err := filepath.Glob(s.g.file("audit*.jsonl"))
	if err != nil {
		return err
	}
	found := make(map[string]int, len(s.tally.decisions))
	for _, name := range files {
		if err := s.count(name, found); err != nil {
			return err
		}
	}
	missing := 0
	for id, at := range s.tally.decisions {
		switch n := found[id]; {
		case n > 1:
			s.broken("decision %s is in the audit log %d times", id, n)
		case n == 0 && !s.g.down.touches(at, at.Add(beforeCrash)):
			if missing++; missing <= maxTold {
				s.broken("decision %s, seen at %s, is not in the audit log", id, at.Format("15:04:05.000"))
			}
		}
	}
	return nil
}

// count adds up how often each decision of the sample is in a file. A process that was killed may leave half a line.
func (s *soak) count(name string, found map[string]int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line struct{ Decision string }
		if json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &line) != nil {
			continue
		}
		if _, ours := s.tally.decisions[line.Decision]; ours {
			found[line.Decision]++
		}
		s.lines++
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
