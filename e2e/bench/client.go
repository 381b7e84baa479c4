package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// A request is what a client asks for, and what it has to get.
type request struct {
	path   string
	status int
	length int64         // of the body; -1 is any
	digest digest.Digest // of the content that path means
}

// A connection is a client that costs little: it keeps its connection and reads answers that say how long they are.
type connection struct {
	host string
	net.Conn
	r      *bufio.Reader
	buf    []byte
	hash   hash.Hash // of what is read; nil: nobody wants it
	cancel func() bool
}

// An answer is what a request got. Its times count from when the request was sent.
type answer struct {
	status       int
	length       int64
	first, total time.Duration // to the first byte of the body, and to the last
	closes       bool          // the server wants no other request on this connection
}

// connect dials a target. The end of ctx cuts the connection.
func connect(ctx context.Context, addr string, secure *tls.Config) (*connection, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	if secure != nil {
		t := tls.Client(c, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c = t
	}
	return &connection{host: addr, Conn: c, r: bufio.NewReaderSize(c, 16<<10), buf: make([]byte, 256<<10), cancel: stop}, nil
}

// Close implements io.Closer.
func (c *connection) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// get sends a request and reads its answer whole.
func (c *connection) get(q request) (answer, error) {
	begin := time.Now()
	_, err := fmt.Fprintf(c.Conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: %s, */*\r\n\r\n", q.path, c.host, manifestType)
	if err != nil {
		return answer{}, err
	}
	a, err := readHead(c.r)
	if err != nil {
		return a, fmt.Errorf("%s: %w", q.path, err)
	}
	if a.length > 0 {
		if _, err := c.r.Peek(1); err != nil {
			return a, fmt.Errorf("%s: %w", q.path, err)
		}
	}
	a.first = time.Since(begin)
	if err := c.discard(a.length); err != nil {
		return a, fmt.Errorf("%s: %w", q.path, err)
	}
	a.total = time.Since(begin)
	if a.status != q.status || q.length >= 0 && a.length != q.length {
		return a, fmt.Errorf("%s: %d with %d bytes, not %d with %d", q.path, a.status, a.length, q.status, q.length)
	}
	return a, nil
}

// discard reads the body.
func (c *connection) discard(left int64) error {
	for left > 0 {
		n, err := c.r.Read(c.buf[:min(int64(len(c.buf)), left)])
		if c.hash != nil {
			c.hash.Write(c.buf[:n])
		}
		left -= int64(n)
		if err != nil && left > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// readHead reads an answer up to its body, which has to have a length.
func readHead(r *bufio.Reader) (answer, error) {
	a := answer{length: -1}
	line, err := r.ReadString('\n')
	if err != nil {
		return a, err
	}
	_, rest, _ := strings.Cut(line, " ")
	if a.status, err = strconv.Atoi(rest[:min(3, len(rest))]); err != nil {
		return a, fmt.Errorf("status line: %w", err)
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return a, err
		}
		name, value, found := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case !found && a.length < 0:
			return a, errors.New("answer without a length")
		case !found:
			return a, nil
		case strings.EqualFold(name, "Content-Length"):
			if a.length, err = strconv.ParseInt(value, 10, 64); err != nil {
				return a, fmt.Errorf("length: %w", err)
			}
		case strings.EqualFold(name, "Connection"):
			a.closes = strings.EqualFold(value, "close")
		}
	}
}
