package attack

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// A flood is an answer that is too much, or not what it says.
type flood struct {
	name   string
	answer func(w http.ResponseWriter)
	reason string // of the refusal
}

// The floods with which a source answers in place of a file.
func allFloods() []flood {
	return []flood{
		{"without end", func(w http.ResponseWriter) { endless(w, `{"signed":{`) }, "metadata_invalid"},
		{"without end, of a length that is not true", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1099511627776")
			endless(w, `{"signed":{`)
		}, "metadata_invalid"},
		{"a gzip bomb", func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb()) // a client that left is no concern, here and below
		}, "source_unreachable"},
		{"a gzip bomb that is not called one", func(w http.ResponseWriter) { _, _ = w.Write(bomb()) }, "metadata_invalid"},
		{"shorter than it says", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"signed":{`))
			panic(http.ErrAbortHandler)
		}, "source_unreachable"},
		{"a megabyte of headers", func(w http.ResponseWriter) { w.Header().Set("X-Much", strings.Repeat("x", 1<<20)) }, "source_unreachable"},
	}
}

// bomb returns 64 MiB, which is more than any file may have, compressed.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(`{"signed":{`)) // to memory, which does not fail, here and below
	space := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, _ = w.Write(space)
	}
	_ = w.Close()
	return b.Bytes()
})

// instead makes a fault of an answer, in place of a role's file.
func instead(role string, answer func(w http.ResponseWriter)) func(w http.ResponseWriter, file string) bool {
	return func(w http.ResponseWriter, file string) bool {
		found := file == role+".json" || strings.HasPrefix(file, role+".") || strings.HasSuffix(file, "."+role+".json")
		if found {
			answer(w)
		}
		return found
	}
}

// always makes a fault of an answer, in place of every file.
func always(answer func(w http.ResponseWriter)) func(w http.ResponseWriter, file string) bool {
	return func(w http.ResponseWriter, _ string) bool {
		answer(w)
		return true
	}
}

// status answers with nothing else.
func status(code int) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

// login answers with a page for people.
func login(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>log in</html>")) }

// hangUp ends the connection.
func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }
