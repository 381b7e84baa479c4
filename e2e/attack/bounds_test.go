package attack

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// bounds are attacks by too much, too slow, and of the wrong kind.
func bounds() []door {
	return []door{
		{17, "methods and bodies", "there is GET and HEAD, and no body is read", methods},
		{21, "oversized answers", "whatever a registry or a source sends without end is cut, and takes little memory", oversized},
		{23, "slow clients and floods", "clients that hang cost the others nothing, and more than fit are told to come back", slow},
		{24, "request smuggling", "what two servers could read as two things is one request, or none", smuggled},
		{26, "log injection", "nothing that anybody sends begins a line of a log or a message, or an escape", injected},
	}
}

func methods(t *testing.T) {
	w := newWorld(t, settings{})
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "GETX", "X"} {
		for _, target := range []string{manifest("v1"), "/v2/r.example/app/blobs/uploads/", blob(w.good.Layer), "/", "*"} {
			if target == "*" && method != "OPTIONS" {
				continue
			}
			raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n", method, target)
			all := w.send(t, raw)
			if len(all) != 1 || all[0].String() != "405 UNSUPPORTED" || all[0].header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %v", method, target, all)
			}
		}
	}
	for _, body := range []string{"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n", "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n"} {
		if all := w.send(t, "GET "+manifest("v1")+" HTTP/1.1\r\nHost: localhost\r\n"+body); len(all) != 1 || all[0].String() != "400 UNSUPPORTED" {
			t.Errorf("GET with %q: %v", body, all)
		}
	}
	if all := w.send(t, "CONNECT r.example:443 HTTP/1.1\r\nHost: r.example:443\r\n\r\n"); len(all) != 1 || all[0].status < 400 {
		t.Errorf("CONNECT: %v", all)
	}
	w.untouched(t)
}

// endless answers without end: with the beginning first, and then with spaces for as long as somebody reads.
func endless(w http.ResponseWriter, begin string) {
	space := []byte(strings.Repeat(" ", 64<<10))
	_, err := w.Write([]byte(begin))
	for err == nil {
		_, err = w.Write(space)
	}
}

func oversized(t *testing.T) {
	zero := "sha256:" + strings.Repeat("0", 64)
	w := newWorld(t, settings{before: func(w *world) {
		w.push("large", imageType, `{"schemaVersion":2,"layers":[],`+configMember+`,"x":"`+strings.Repeat("x", 4<<20)+`"}`)
		w.push("largest", imageType, `{"layers":[],`+configMember+`}`+strings.Repeat(" ", 4<<20-len(`{"layers":[],`+configMember+`}`)))
		w.app.Next(w.app.Delegations[0])
		w.site.publish(w.app)
		inner := w.up
		w.url = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch begin, kind, found := strings.Cut(r.URL.Path, "/endless/"); {
			case !found:
				inner.ServeHTTP(rw, r)
			case begin == "/v2/open" && strings.HasPrefix(kind, "headers"):
				rw.Header().Set("X-Much", strings.Repeat("x", 1<<20))
			case r.Method == http.MethodHead:
				rw.Header().Set("Docker-Content-Digest", zero)
			case strings.HasPrefix(kind, "errors"):
				rw.WriteHeader(http.StatusInternalServerError)
				fallthrough
			default:
				endless(rw, `{"tags":["a"],"manifests":[`)
			}
		}))
	}})
	for target, want := range map[string]string{
		manifest("large"):   "502 upstream_invalid",
		manifest("largest"): "200",
		"/v2/r.example/open/endless/manifests/" + zero:         "502 upstream_invalid",
		"/v2/r.example/open/endless/manifests/v1":              "502 upstream_invalid",
		"/v2/r.example/open/endless/tags/list":                 "502 upstream_invalid",
		"/v2/r.example/open/endless/referrers/" + zero:         "200",
		"/v2/r.example/open/endless/errors/manifests/" + zero:  "502 upstream_unreachable",
		"/v2/r.example/open/endless/headers/manifests/" + zero: "502 upstream_unreachable",
		"/v2/r.example/open/endless/headers/blobs/" + zero:     "502 upstream_unreachable",
	} {
		w.expect(t, want, target)
	}
	// A blob may be as large as it says, and no larger.
	w.up.Fail("/v2/app/blobs/"+w.good.Layer.String(), upstreamtest.Fault{Length: 10})
	w.expect(t, "502 upstream_invalid", blob(w.good.Layer))
	w.sources(t)
	w.largeRequests(t)
	w.frugal(t)
}

// sources lets each file of trust data that is asked for be without end.
func (w *world) sources(t *testing.T) {
	t.Helper()
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "targets/releases"} {
		gun := "r.example/cold/" + role
		n := w.repository(gun)
		w.sign(n, "v1", w.good)
		w.site.publish(n)
		w.site.fail(func(rw http.ResponseWriter, _, file string) bool {
			found := file == role+".json" || strings.HasPrefix(file, role+".") // by hash
			if found {
				endless(rw, `{"signed":{`)
			}
			return found
		})
		w.expect(t, "403 metadata_invalid", "/v2/"+gun+"/manifests/v1")
	}
	w.site.fail(nil)
}

// largeRequests sends requests that are too large themselves.
func (w *world) largeRequests(t *testing.T) {
	t.Helper()
	long := strings.Repeat("x", 40<<10)
	for _, raw := range []string{"GET " + manifest(long) + " HTTP/1.1\r\nHost: localhost\r\n", "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: " + long + "\r\n",
		"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: y\r\n", 10_000)} {
		if all := w.send(t, raw+"\r\n"); len(all) != 1 || all[0].status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%.40q: %v", raw, all)
		}
	}
	for target, want := range map[string]string{
		manifest(long[:20<<10]):                               "400 MANIFEST_INVALID",
		"/v2/r.example/" + long[:20<<10] + "/manifests/v1":    "400 NAME_INVALID",
		manifest("v1") + "?ns=" + long[:20<<10]:               "414 UNSUPPORTED",
		"/v2/r.example/app/tags/list?last=" + long[:20<<10]:   "414 UNSUPPORTED",
		"/v2/" + strings.Repeat("a/", 10<<10) + "manifests/v": "400 NAME_INVALID",
	} {
		w.expect(t, want, target)
	}
}

// maxPerClient is how many requests of one client the gateway answers at a time, and maxInFlight of all.
const maxPerClient, maxInFlight = 1024, 4096

func slow(t *testing.T) {
	w := newWorld(t, settings{})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.up.Fail("/v2/app/blobs/"+w.good.Layer.String(), upstreamtest.Fault{Stall: release, StallAfter: 1})
	// Heads that never end, bodies that never come, and answers that nobody reads.
	for i := range 400 {
		begin := []string{"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ", "G", "", "PUT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"}[i%4]
		if _, err := w.dial(t).Write([]byte(begin)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	w.expect(t, "200", manifest("v1"))
	// PRODUCT: invariant 9, more than fit are refused, and those of one client are not those of another.
	for client := 1; client <= maxInFlight/maxPerClient; client++ {
		hang(t, w, client)
		probe(t, w, client, http.StatusServiceUnavailable)
		want := http.StatusOK
		if client == maxInFlight/maxPerClient {
			want = http.StatusServiceUnavailable
		}
		probe(t, w, client+1, want)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

// hang lets a client wait with as many requests as it may have.
func hang(t *testing.T, w *world, client int) {
	t.Helper()
	for range maxPerClient {
		conn := from(t, w, client)
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", blob(w.good.Layer)); err != nil {
			t.Fatal(err)
		}
	}
}

// from dials from an address of this machine that is the client's own.
func from(t *testing.T, w *world, client int) net.Conn {
	t.Helper()
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(client))}
	conn, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", w.addr)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("this machine has no address for another client, or too few descriptors: %v", err)
	}
	return conn
}

// probe asks as a client until the answer has the status: those before it may still be on their way.
func probe(t *testing.T, w *world, client, want int) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(client))}}).DialContext,
	}}
	eventually(t, fmt.Sprintf("client %d gets status %d", client, want), func() bool {
		res, err := c.Get("http://" + w.addr + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		return res.StatusCode == want
	})
}
