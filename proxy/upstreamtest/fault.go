package upstreamtest

import (
	"net/http"
	"slices"
	"strconv"
)

// Fault is how a Registry answers wrongly. Its fields work together; what is zero stays as it should be.
type Fault struct {
	// Status is answered, with an empty body unless Body is set.
	Status int
	// Redirect is a URL that is answered as a redirect with status 307, or Status.
	Redirect string
	// Header replaces headers of the answer; Content-Type is the usual one.
	Header http.Header
	// Body replaces the content, with status 200 unless Status is set.
	Body []byte
	// CorruptLast changes the last byte of the content.
	CorruptLast bool
	// Truncate drops the connection so many bytes before the end of the content.
	Truncate int
	// Length is the Content-Length that is claimed; -1 claims none.
	Length int64
	// Stall keeps the answer waiting, after StallAfter bytes of the content, until it is closed or the client leaves. With
	// StallAfter 0 not even the headers are sent before.
	Stall      <-chan struct{}
	StallAfter int
	// Times is how many requests meet the fault, 0 for all.
	Times int
}

// Fail makes requests for path, such as "/v2/library/nginx/manifests/1.27", meet f from now on. Ranges are not honoured
// then.
func (r *Registry) Fail(path string, f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults == nil {
		r.faults = map[string]Fault{}
	}
	r.faults[path] = f
}

// Heal takes back every Fail.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// fault returns what a request for path meets, and counts it.
func (r *Registry) fault(path string) (Fault, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.faults[path]
	if ok && f.Times > 0 {
		left := f
		if left.Times--; left.Times == 0 {
			delete(r.faults, path)
		} else {
			r.faults[path] = left
		}
	}
	return f, ok
}

// write sends what f makes of a.
func (f Fault) write(w http.ResponseWriter, req *http.Request, a answer) {
	a = f.change(a)
	if f.Stall != nil && f.StallAfter == 0 {
		f.wait(req)
	}
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	length := f.Length
	if length == 0 {
		length = int64(len(a.content))
	}
	if length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(a.status)
	if req.Method == http.MethodHead {
		return
	}
	send := a.content[:max(0, len(a.content)-f.Truncate)]
	if length >= 0 && length < int64(len(send)) {
		send = send[:length] // the server would send nothing else
	}
	first := min(f.StallAfter, len(send))
	_, _ = w.Write(send[:first]) // a client that left is no concern, here and below
	_ = http.NewResponseController(w).Flush()
	if f.Stall != nil && f.StallAfter > 0 {
		f.wait(req)
	}
	_, _ = w.Write(send[first:])
	if f.Truncate > 0 || length > int64(len(send)) {
		panic(http.ErrAbortHandler)
	}
}

// change applies what f says of status, headers and content.
func (f Fault) change(a answer) answer {
	a.header, a.content = a.header.Clone(), slices.Clone(a.content)
	if f.Redirect != "" {
		a.status, a.content = http.StatusTemporaryRedirect, nil
		a.header.Set("Location", f.Redirect)
	}
	if f.Status != 0 {
		a.status, a.content = f.Status, nil
	}
	if f.Body != nil {
		a.content = f.Body
		if f.Status == 0 {
			a.status = http.StatusOK
		}
	}
	if f.CorruptLast && len(a.content) > 0 {
		a.content = slices.Clone(a.content)
		a.content[len(a.content)-1] ^= 1
	}
	for name, values := range f.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

// wait returns when the fault is over or the client has left.
func (f Fault) wait(req *http.Request) {
	select {
	case <-f.Stall:
	case <-req.Context().Done():
	}
}
