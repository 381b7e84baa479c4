package upstream

import (
	"context"
	"errors"
	"io"
	"time"
)

const (
	answerLimit = 60 * time.Second // from Do to the headers of the last answer, redirects and tokens included
	idleLimit   = 60 * time.Second // one Read of a body without a byte
)

// Why this package ends a request.
var (
	errNoAnswer = errors.New("no answer within 60 s")
	errNoByte   = errors.New("no byte for 60 s in the middle of a body")
	errSlow     = errors.New("the answer was too slow")
)

// body is the body of an answer: it ends its request when a Read waits too long, and names its client in errors.
type body struct {
	io.ReadCloser
	client *Client
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   *time.Timer // runs only while a Read waits: a slow reader is not a slow upstream
}

// newBody takes over ctx and cancel from the request whose answer rc is.
func newBody(c *Client, ctx context.Context, cancel context.CancelCauseFunc, rc io.ReadCloser) *body {
	idle := time.AfterFunc(idleLimit, func() { cancel(errNoByte) })
	idle.Stop()
	return &body{ReadCloser: rc, client: c, ctx: ctx, cancel: cancel, idle: idle}
}

// Read fails with an *Error, io.EOF apart.
func (b *body) Read(p []byte) (int, error) {
	b.idle.Reset(idleLimit)
	n, err := b.ReadCloser.Read(p)
	b.idle.Stop()
	if err != nil && err != io.EOF {
		if err == io.ErrUnexpectedEOF {
			err = invalid("the body is shorter than announced")
		}
		err = b.client.fail(cause(b.ctx, err))
	}
	return n, err
}

// Close ends the request.
func (b *body) Close() error {
	b.idle.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// within ends the request after d, whatever it does.
func (b *body) within(d time.Duration) {
	time.AfterFunc(d, func() { b.cancel(errSlow) })
}
