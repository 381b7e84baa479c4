package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// A fault is how a server misbehaves.
type fault string

// The faults of any server. A server that flaps, or starts anew, closes its listener and its connections.
const (
	fair         fault = ""
	refusing     fault = "refuses"
	flapping     fault = "flaps"
	restarting   fault = "restarts"
	hanging      fault = "hangs"
	dripping     fault = "drips"
	failing      fault = "fails"
	limiting     fault = "limits"
	truncating   fault = "truncates"
	corrupting   fault = "corrupts"
	spoiled      fault = "spoils signatures"
	rolledBack   fault = "rolls back"
	strange      fault = "serves a stranger's signatures"
	dripStep           = 2 << 10
	dripPause          = 25 * time.Millisecond
	reopenLimit        = 10 * time.Second
	flapEvery          = 150 * time.Millisecond
	outletGrace        = 10 * time.Second // for a request's headers
	limitSeconds       = 1                // of Retry-After
)

// An outlet is a server of the world behind the gateway, which misbehaves when it is told to. Its address never changes.
type outlet struct {
	name    string
	addr    string
	handler func(fault) http.Handler
	faults  []fault // that it knows
	windows windows

	mu      sync.Mutex
	fault   fault
	changed chan struct{} // closed when the fault changes
	server  *http.Server  // nil while the listener is closed
}

// newOutlet opens an outlet on a free port of 127.0.0.1.
func newOutlet(name string, handler func(fault) http.Handler, faults ...fault) (*outlet, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &outlet{name: name, addr: l.Addr().String(), handler: handler, faults: faults, changed: make(chan struct{})}
	o.serve(l)
	return o, nil
}

func (o *outlet) serve(l net.Listener) {
	s := &http.Server{Handler: o, ReadHeaderTimeout: outletGrace}
	o.mu.Lock()
	o.server = s
	o.mu.Unlock()
	go s.Serve(l) // ends by shut, and has nothing to say then
}

// shut closes the listener and all connections.
func (o *outlet) shut() {
	o.mu.Lock()
	s := o.server
	o.server = nil
	o.mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// reopen listens again where it did. Somebody's connection may have taken the port; that does not last.
func (o *outlet) reopen() error {
	for end := time.Now().Add(reopenLimit); ; {
		l, err := net.Listen("tcp", o.addr)
		if err == nil {
			o.serve(l)
			return nil
		}
		if time.Now().After(end) {
			return err
		}
		rig.Wait(context.Background(), flapEvery/3)
	}
}

// misbehave does so until ctx ends, and is fair again when it returns.
func (o *outlet) misbehave(ctx context.Context, f fault) error {
	switch f {
	case refusing:
		o.shut()
		<-ctx.Done()
		return o.reopen()
	case restarting:
		o.shut()
		return o.reopen()
	case flapping:
		for rig.Wait(ctx, flapEvery) {
			o.shut()
			rig.Wait(ctx, flapEvery)
			if err := o.reopen(); err != nil {
				return err
			}
		}
		return nil
	}
	o.set(f)
	<-ctx.Done()
	o.set(fair)
	return nil
}

func (o *outlet) set(f fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = f
	close(o.changed)
	o.changed = make(chan struct{})
}

// now returns the fault, and what is closed when it changes.
func (o *outlet) now() (fault, chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault, o.changed
}

// ServeHTTP implements http.Handler.
func (o *outlet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, changed := o.now()
	switch f {
	case hanging:
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	case failing:
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	case limiting:
		w.Header().Set("Retry-After", strconv.Itoa(limitSeconds))
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	o.handler(f).ServeHTTP(&bent{ResponseWriter: w, ctx: r.Context(), fault: f, changed: changed}, r)
}

// A bent writer spoils what a handler writes.
type bent struct {
	http.ResponseWriter
	ctx     context.Context
	fault   fault
	changed chan struct{}
}

// Write implements io.Writer.
func (b *bent) Write(p []byte) (int, error) {
	switch b.fault {
	case truncating:
		_, _ = b.ResponseWriter.Write(p[:len(p)/2]) // the connection breaks one way or another
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	case corrupting:
		p = append([]byte(nil), p...)
		if len(p) > 0 {
			p[len(p)-1] ^= 1
		}
	case dripping:
		return b.drip(p)
	}
	return b.ResponseWriter.Write(p)
}

// drip writes slowly, until the fault is over.
func (b *bent) drip(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		select {
		case <-b.changed:
			n, err := b.ResponseWriter.Write(p[written:])
			return written + n, err
		default:
		}
		n, err := b.ResponseWriter.Write(p[written:min(len(p), written+dripStep)])
		written += n
		if err == nil {
			err = http.NewResponseController(b.ResponseWriter).Flush()
		}
		if err != nil {
			return written, err
		}
		rig.Wait(b.ctx, dripPause)
	}
	return written, nil
}
