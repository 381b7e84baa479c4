package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// An answer is one whole answer of the gateway.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// A complaint is the one error of a refusal.
type complaint struct {
	Code, Message string
	Detail        struct{ Reason, Decision string }
}

// complaint reads a refusal; it is empty for an answer that is none.
func (a answer) complaint() complaint {
	var doc struct{ Errors []complaint }
	if json.Unmarshal(a.body, &doc) != nil || len(doc.Errors) != 1 {
		return complaint{}
	}
	return doc.Errors[0]
}

// String is the status, with the reason of a refusal, or its code where nobody decided: "403 unsigned_tag".
func (a answer) String() string {
	c := a.complaint()
	switch {
	case a.status < http.StatusBadRequest:
		return fmt.Sprint(a.status)
	case c.Detail.Reason != "":
		return fmt.Sprintf("%d %s", a.status, c.Detail.Reason)
	}
	return fmt.Sprintf("%d %s", a.status, c.Code)
}

// digest returns the digest of the bytes that were served; it fails the test where the header says another.
func (a answer) digest(t *testing.T) digest.Digest {
	t.Helper()
	d := digest.FromBytes(a.body)
	if said := a.header.Get("Docker-Content-Digest"); said != d.String() {
		t.Errorf("the header says %s of content with digest %s", said, d)
	}
	return d
}

// ask sends one request. Header is names and values in turn; Host is one of them.
func (g *gateway) ask(t *testing.T, method, target string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+g.addr+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Add(header[i], header[i+1])
	}
	res, err := g.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return g.take(t, res)
}

// get asks for what target names.
func (g *gateway) get(t *testing.T, target string, header ...string) answer {
	t.Helper()
	return g.ask(t, http.MethodGet, target, header...)
}

// take reads an answer, and keeps in mind which decision it is.
func (g *gateway) take(t *testing.T, res *http.Response) answer {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("answer of status %d: %v", res.StatusCode, err)
	}
	a := answer{res.StatusCode, res.Header, body}
	if id := a.header.Get("Tagwarden-Decision"); id != "" {
		g.mu.Lock()
		g.seen = append(g.seen, id)
		g.mu.Unlock()
	}
	// PRODUCT: section 4, message is one line that stands alone, because most clients print only that.
	c := a.complaint()
	if strings.ContainsFunc(c.Message, func(r rune) bool { return r < ' ' || r > '~' }) || len(c.Message) > 2<<10 {
		t.Errorf("message is not a line of printable text: %q", c.Message)
	}
	if a.status >= http.StatusBadRequest && res.Request != nil && res.Request.Method != http.MethodHead && c.Message == "" {
		t.Errorf("status %d without a message: %q", a.status, a.body)
	}
	return a
}

// expect asks for target and compares what comes with "403 unsigned_tag" or "200".
func (g *gateway) expect(t *testing.T, want, target string, header ...string) answer {
	t.Helper()
	a := g.get(t, target, header...)
	if a.String() != want {
		t.Errorf("%.200s %q: %s, want %s; %.300s", target, header, a, want, a.body)
	}
	return a
}

// dial opens a connection to the registry port, which is closed at the end of the test.
func (g *gateway) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience)) // a connection of this kind has deadlines
	return conn
}

// send writes bytes on a connection of their own, and returns the answers that come until the gateway closes it.
func (g *gateway) send(t *testing.T, raw string) []answer {
	t.Helper()
	conn := g.dial(t)
	defer conn.Close()
	// The gateway may refuse before it has read everything.
	if _, err := conn.Write([]byte(raw)); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection stays open: %v", err)
	}
	method, _, _ := strings.Cut(raw, " ")
	var all []answer
	for r := bufio.NewReader(bytes.NewReader(data)); ; {
		if _, err := r.Peek(1); err != nil {
			return all
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%.200q is no answer to %.200q: %v", data, raw, err)
		}
		if res.StatusCode == http.StatusContinue {
			t.Errorf("a body is asked for: %.200q", raw)
			continue
		}
		res.Request = nil // what net/http itself refuses has no JSON
		all = append(all, g.take(t, res))
	}
}

// say sends one GET, exactly as written, and returns the answer.
func (g *gateway) say(t *testing.T, target string, header ...string) answer {
	t.Helper()
	raw := "GET " + target + " HTTP/1.1\r\nConnection: close\r\n"
	if len(header) == 0 || !strings.HasPrefix(header[0], "Host:") {
		raw += "Host: localhost\r\n"
	}
	for _, h := range header {
		raw += h + "\r\n"
	}
	all := g.send(t, raw+"\r\n")
	if len(all) != 1 {
		t.Fatalf("%d answers to one request for %q", len(all), target)
	}
	return all[0]
}
