package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/config"
)

func cacheCommand(file *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "Look at, verify and shrink the content that is kept; the gateway may be running",
		Args:  cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("cache: stats, scrub or prune")}
		},
	}
	c.AddCommand(cacheStatsCommand(file), scrubCommand(file), pruneCommand(file))
	return c
}

func cacheStatsCommand(file *string) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "stats",
		Short: "Say how much content there is, without reading it",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("cache stats: output %q is neither text nor json", output)}
			}
			cfg, err := load(*file, c.ErrOrStderr())
			if err != nil {
				return err
			}
			u, err := cache.Measure(c.Context(), cfg.Cache.Dir)
			return errors.Join(printUsage(c.OutOrStdout(), cfg.Cache, u, output), err)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// printUsage writes what is in the cache folder.
func printUsage(w io.Writer, c config.Cache, u cache.Usage, output string) error {
	if output == "json" {
		j := json.NewEncoder(w)
		j.SetIndent("", "  ")
		return j.Encode(struct {
			Folder                          string
			Size                            int64
			Files, Bytes                    int64
			SignedFiles, SignedBytes        int64
			UnfinishedFiles, SetAsideDamage int64
		}{c.Dir, c.Size, u.Files, u.Bytes, u.KeptFiles, u.KeptBytes, u.Unfinished, u.Damaged})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "folder\t%s\n", c.Dir)
	fmt.Fprintf(t, "content\t%s in %s, of %s\n", bytesOf(u.Bytes), count(int(u.Files), "file", "files"), bytesOf(c.Size))
	fmt.Fprintf(t, "of signed tags in use\t%s in %s\n", bytesOf(u.KeptBytes), count(int(u.KeptFiles), "file", "files"))
	fmt.Fprintf(t, "unfinished\t%s\n", count(int(u.Unfinished), "file", "files"))
	fmt.Fprintf(t, "damaged, set aside\t%s\n", count(int(u.Damaged), "file", "files"))
	return t.Flush()
}

func scrubCommand(file *string) *cobra.Command {
	rate := "64MiB"
	c := &cobra.Command{
		Use:   "scrub",
		Short: "Read all content and compare it with its digests; what is damaged is set aside, and fetched again when it is asked for",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			n, ok := config.ParseSize(rate)
			if !ok || n < 1 {
				return usageError{fmt.Errorf("cache scrub: rate %q is no size", rate)}
			}
			return withCache(c, *file, func(s *cache.Store) error {
				found, err := s.Scrub(c.Context(), n)
				fmt.Fprintf(c.OutOrStdout(), "%s read, %s, %s\n", bytesOf(found.Bytes), count(int(found.Files), "file", "files"), count(int(found.Damaged), "damaged file set aside", "damaged files set aside"))
				if err == nil && found.Damaged > 0 {
					return errSaid
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&rate, "rate", rate, "bytes to read in a second, at most: a `SIZE`")
	return c
}

func pruneCommand(file *string) *cobra.Command {
	var to string
	var all bool
	c := &cobra.Command{
		Use:   "prune --to SIZE | --all",
		Short: "Remove content, the least recently used first, that of signed tags in use last",
		Args:  exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			n, ok := config.ParseSize(to)
			if all == (to != "") {
				return usageError{errors.New("cache prune: say either --to SIZE or --all")}
			}
			if !all && !ok {
				return usageError{fmt.Errorf(`cache prune: --to %.80q is no size: write "50GiB", "512MiB" or bytes`, to)}
			}
			return withCache(c, *file, func(s *cache.Store) error {
				gone, err := s.Prune(c.Context(), n)
				fmt.Fprintf(c.OutOrStdout(), "%s removed, %s\n", bytesOf(gone.Bytes), count(int(gone.Files), "file", "files"))
				return err
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "how much to leave: a `SIZE`, as 50GiB")
	c.Flags().BoolVar(&all, "all", false, "everything")
	return c
}

// withCache opens the configured cache folder, beside a gateway that may be using it, and tells what is found damaged.
func withCache(c *cobra.Command, file string, do func(*cache.Store) error) error {
	cfg, err := load(file, c.ErrOrStderr())
	if err != nil {
		return err
	}
	s, err := cache.Open(cache.Options{Dir: cfg.Cache.Dir, Observe: func(e cache.Event) {
		if e.Kind == cache.Damaged {
			fmt.Fprintf(c.ErrOrStderr(), "tagwarden: %v\n", e.Err)
		}
	}})
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close(context.Background()))
}

// bytesOf makes a number of bytes readable.
func bytesOf(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
