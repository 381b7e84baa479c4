package upstream

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"
)

var contentRange = regexp.MustCompile(`^bytes (0|[1-9][0-9]*)-(0|[1-9][0-9]*)/(0|[1-9][0-9]*)$`)

// FuzzContentRange: an answer to a resumed fetch is taken only if it is all that follows the bytes in hand: else the file
// would be put together of parts that do not join.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{
		"bytes 4-9/10", "bytes 4-9/*", "bytes */10", "bytes 04-9/10", "bytes 4-9/+10", "bytes 4-8/10", "bytes 0-9/10", "bytes 4-3/4", "BYTES 4-9/10",
		"bytes 4-9/10 ", "bytes 4--2/-1", "bytes 4-9223372036854775806/9223372036854775807", "bytes 4-9/10/10", "",
	} {
		f.Add(s, int64(4), int64(6))
		f.Add(s, int64(4), int64(-1))
	}
	f.Fuzz(func(t *testing.T, header string, offset, length int64) {
		if offset < 0 || length < -1 {
			return
		}
		size, err := rest(&http.Response{Header: http.Header{"Content-Range": {header}}, ContentLength: length}, offset)
		m := contentRange.FindStringSubmatch(header)
		if m == nil {
			if err == nil {
				t.Errorf("%q was taken", header)
			}
			return
		}
		first, ferr := strconv.ParseInt(m[1], 10, 64)
		last, lerr := strconv.ParseInt(m[2], 10, 64)
		whole, werr := strconv.ParseInt(m[3], 10, 64)
		right := ferr == nil && lerr == nil && werr == nil && first == offset && first <= last && last == whole-1 && (length < 0 || length == whole-first)
		if right != (err == nil) || right && size != whole {
			t.Errorf("%q after %d bytes with %d more: %d, %v", header, offset, length, size, err)
		}
	})
}
