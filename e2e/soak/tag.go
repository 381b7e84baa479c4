package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// refresh is how old the gateway's last check with a source may be; it is what its configuration says.
const refresh = time.Second

// staleness is how long after a change the answer before it may come, while the source answers: a check of that age does,
// an answer waits two seconds for a new one, and the machine gets to everybody in two more.
const staleness = refresh + 2*time.Second + 2*time.Second

// A meaning is what a tag was signed to mean for a while.
type meaning struct {
	digest digest.Digest // "" is nothing: the tag is refused
	begin  time.Time     // when the first file that says so could be fetched
	end    time.Time     // when the last file that says otherwise could be; zero while it is the meaning
}

// A tag is one that is signed, and everything it ever meant. It is the judge of what the gateway says of it.
type tag struct {
	repository, name string
	source           *windows // when the source did not work

	mu    sync.Mutex
	all   []meaning
	floor int // the first meaning that may still be answered, since a later one than those before it was
}

// publish has the tag mean d from now on. Sign makes it so.
func (t *tag) publish(d digest.Digest, now func() time.Time, sign func()) {
	t.mu.Lock()
	t.all = append(t.all, meaning{digest: d, begin: now()})
	t.mu.Unlock()
	sign()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.all); n > 1 {
		t.all[n-2].end = now()
	}
}

// now returns what the tag means.
func (t *tag) now() digest.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[len(t.all)-1].digest
}

// past returns a digest that the tag means or has meant.
func (t *tag) past(choose func(n int) int) digest.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := choose(len(t.all)); i >= 0; i-- {
		if d := t.all[i].digest; d != "" {
			return d
		}
	}
	return t.all[0].digest // the first is never nothing
}

// seen returns the floor for a request that is about to be sent.
func (t *tag) seen() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.floor
}

// judge tells what is wrong with an answer that says d, to a request that was sent at asked, when the floor was that, and
// whose answer was complete at got. Of the meanings that the answer may be, it is taken for the first.
func (t *tag) judge(d digest.Digest, floor int, asked, got time.Time) error {
	i, err := t.find(func(m meaning) bool { return m.digest == d }, floor, asked, got)
	if err != nil {
		return fmt.Errorf("%s:%s is %q: %w", t.repository, t.name, d, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, i)
	return nil
}

// judgeListed tells what is wrong with a list that has the tag, or has not.
func (t *tag) judgeListed(listed bool, floor int, asked, got time.Time) error {
	if _, err := t.find(func(m meaning) bool { return (m.digest != "") == listed }, floor, asked, got); err != nil {
		return fmt.Errorf("%s:%s is listed %t: %w", t.repository, t.name, listed, err)
	}
	return nil
}

// find returns the first meaning that fits and may be answered.
//
// One may from the moment it was published. It may no more when a later one was answered before the request was sent: what
// was seen is never fallen behind. And it may no more when its successor was published and the source has answered for as
// long as the gateway has to notice; what does not answer, or lies, is not believed, and what was verified goes on.
func (t *tag) find(fits func(meaning) bool, floor int, asked, got time.Time) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := fmt.Errorf("that was never signed")
	for i, m := range t.all {
		switch {
		case !fits(m):
		case m.begin.After(got):
			err = fmt.Errorf("that was signed %s later", m.begin.Sub(got))
		case i < floor:
			err = fmt.Errorf("meaning %d, but meaning %d was answered before it was asked for", i, floor)
		case !m.end.IsZero() && t.source.calm(m.end, asked, staleness):
			err = fmt.Errorf("meaning %d of %d, which ended %s before it was asked for", i, len(t.all), asked.Sub(m.end))
		default:
			return i, nil
		}
	}
	return 0, err
}
