package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

const (
	day       = 24 * time.Hour
	smallest  = 1 << 20 // no size below this is meant; a missing unit is the likely reason
	maxPath   = 4096    // bytes of a file path, as Linux has it
	maxString = 255     // characters of rule and user names
)

// units are what a size may end in.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"", 1},
}

// size reads a number of bytes: digits, and a unit or none.
func (r *reader) size(v value) int64 {
	text, ok := r.scalar(v, "a size")
	if !ok {
		return 0
	}
	n, ok := ParseSize(text)
	switch {
	case !ok:
		r.problem(v.place, `%.80q is no size: write "100GiB", "512MiB", "10GB" or bytes`, text)
	case n < smallest:
		r.problem(v.place, "%.80q is less than 1MiB: is a unit missing?", text)
	default:
		return n
	}
	return 0
}

// ParseSize returns the bytes that text means, if it is a size that fits.
func ParseSize(text string) (int64, bool) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > (1<<63-1)/u.bytes {
			return 0, false
		}
		return n * u.bytes, true
	}
	return 0, false
}

// duration returns a function that reads a duration within bounds, which are named as a person would write them.
func (r *reader) duration(least, most string) func(value) time.Duration {
	return func(v value) time.Duration {
		text, ok := r.scalar(v, "a duration")
		if !ok {
			return 0
		}
		low, _ := ParseDuration(least)
		high, _ := ParseDuration(most)
		d, ok := ParseDuration(text)
		switch {
		case !ok:
			r.problem(v.place, `%.80q is no duration: write "500ms", "90s", "5m", "72h" or "30d"`, text)
		case d < low || d > high:
			r.problem(v.place, "%.80q is out of bounds: from %s to %s", text, least, most)
		default:
			return d
		}
		return 0
	}
}

// ParseDuration reads Go's syntax, and whole days: "30d".
func ParseDuration(text string) (time.Duration, bool) {
	if digits, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(digits, 10, 16)
		return time.Duration(n) * day, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// dayAfter reads a date and returns the first instant of the day after it, in UTC. The bounds keep slips out, and the
// zero Time, which means no date at all: it is the first instant of the year 1.
func (r *reader) dayAfter(v value) time.Time {
	text, ok := r.scalar(v, "a date")
	if !ok {
		return time.Time{}
	}
	date, err := time.Parse(time.DateOnly, text)
	switch {
	case err != nil:
		r.problem(v.place, `%.80q is no date: write "2027-03-01", the last day`, text)
	case date.Year() < 2000 || date.Year() > 2999:
		r.problem(v.place, "%.80q is out of bounds: from 2000-01-01 to 2999-12-31", text)
	default:
		return date.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// scalar reads the text of a value that may look like a number.
func (r *reader) scalar(v value, want string) (string, bool) {
	switch n := v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	case *ast.StringNode:
		return r.text(v)
	}
	r.mistyped(v, want)
	return "", false
}

// path reads a file path and joins it to the folder of the config.
func (r *reader) path(v value) string {
	text, ok := r.text(v)
	switch {
	case !ok:
		return ""
	case len(text) > maxPath:
		r.problem(v.place, "longer than %d bytes", maxPath)
		return ""
	case strings.ContainsFunc(text, unicode.IsControl):
		r.problem(v.place, "%.80q has control characters in it", text)
		return ""
	case filepath.IsAbs(text):
		return filepath.Clean(text)
	}
	return filepath.Join(r.dir, text)
}

// existing reads the path of a file that must be there.
func (r *reader) existing(v value) string {
	path := r.path(v)
	if path != "" {
		r.mustRead(v.place, path, r.readable(path))
	}
	return path
}

// made reads the path of a file that comes into being with a repository, and must be there once that is made.
func (r *reader) made(v value) string {
	path := r.path(v)
	if path == "" {
		return ""
	}
	if err := r.readable(path); !r.unmade || !errors.Is(err, fs.ErrNotExist) {
		r.mustRead(v.place, path, err)
	}
	return path
}

// mustRead reports why a file cannot be read, if it cannot.
func (r *reader) mustRead(at place, path string, err error) {
	if err == nil {
		return
	}
	if in := (*fs.PathError)(nil); errors.As(err, &in) {
		err = in.Err
	}
	r.problem(at, "cannot read %.200q: %v", path, err)
}

// optional reads a path that may be empty.
func (r *reader) optional(v value) string {
	if n, ok := v.node.(*ast.StringNode); ok && n.Value == "" {
		return ""
	}
	return r.path(v)
}

// word returns a function that reads a text of the given form. The form is told in words to who got it wrong.
func (r *reader) word(form *regexp.Regexp, told string) func(value) string {
	return func(v value) string {
		text, ok := r.text(v)
		if ok && !form.MatchString(text) {
			r.problem(v.place, "%.80q is not %s", text, told)
			return ""
		}
		return text
	}
}

// choice returns a function that reads one of the options. What they are is told to who got it wrong.
func choice[T ~string](r *reader, what string, options ...T) func(value) T {
	return func(v value) T {
		text, ok := r.text(v)
		if !ok {
			return ""
		}
		words := make([]string, len(options))
		for i, o := range options {
			if text == string(o) {
				return o
			}
			words[i] = string(o)
		}
		r.problem(v.place, "unknown %s %.80q: one of %s", what, text, strings.Join(words, ", "))
		return ""
	}
}

// boolean reads true or false.
func (r *reader) boolean(v value) bool {
	b, ok := v.node.(*ast.BoolNode)
	if !ok {
		r.mistyped(v, "true or false")
		return false
	}
	return b.Value
}

// distinct reads a list of texts, none of them twice, each through read.
func (r *reader) distinct(read func(value) string) func(value) []string {
	return func(v value) []string {
		var all []string
		lines := make(map[string]int)
		r.list(v, func(_ int, item value) {
			one := read(item)
			if line, dup := lines[one]; dup && one != "" {
				r.problem(item.place, "%.80q is already on line %d", one, line)
				return
			}
			lines[one] = item.line
			all = append(all, one)
		})
		return all
	}
}
