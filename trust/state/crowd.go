package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// maxCollections bounds how many collections of one source are kept, each of which is two files and a folder of its own.
const maxCollections = 32 << 10

// A crowd counts the collections of each source.
type crowd struct {
	mu    sync.Mutex
	count map[string]int // by the folder of the source, where any was added
}

// add has a collection created in a folder, unless there are too many.
func (c *crowd) add(folder string, create func() error) error {
	if err := c.enter(folder); err != nil {
		return err
	}
	err := create()
	if err != nil { // it may be there all the same: the next counts anew
		c.mu.Lock()
		delete(c.count, folder)
		c.mu.Unlock()
	}
	return err
}

// enter counts one more, unless there are too many.
//
// PRODUCT: invariant 9, every count has a limit: a source that has something for every name must not fill the disk.
func (c *crowd) enter(folder string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	count, counted := c.count[folder]
	if !counted {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		count = len(entries)
	}
	if count >= maxCollections {
		return fmt.Errorf("%s has %d collections, and no more are kept; with the gateway stopped, remove those that nobody needs, each of which says in its file \"name\" of what it is", folder, count)
	}
	c.count[folder] = count + 1
	return nil
}
