package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// lying returns a soak whose gateway is h.
func lying(t *testing.T, h func(w *world) http.HandlerFunc) (*soak, *client) {
	t.Helper()
	w, err := newWorld(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	server := httptest.NewServer(h(w))
	t.Cleanup(server.Close)
	s := &soak{w: w, tally: newTally(), faults: make(map[string]int), g: &gateway{w: w, door: strings.TrimPrefix(server.URL, "http://")}}
	for _, r := range w.repositories {
		r.layer = make([]byte, largeLayer)
	}
	return s, &client{s: s, http: server.Client(), rng: rand.New(rand.NewPCG(1, 1))}
}

// TestWrong: what answers wrongly is found out, whatever it is asked for.
func TestWrong(t *testing.T) {
	for name, h := range map[string]func(w *world) http.HandlerFunc{
		"nonsense": func(*world) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nonsense") }
		},
		"out of order": func(*world) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) }
		},
		"bad gateway": func(*world) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusBadGateway) }
		},
		"hangs up": func(*world) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		},
		"refuses all": func(*world) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusForbidden) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := lying(t, h)
			for _, k := range kinds() {
				if o := k.ask(c, t.Context(), s.w.repositories[0]); o.wrong == nil {
					t.Errorf("%s: %s passes", k.name, &o.reply)
				}
			}
		})
	}
}

// TestPlainRegistry: a gateway that passes on what the registry has is found out by the tags that nobody signed, and by
// those that were taken back.
func TestPlainRegistry(t *testing.T) {
	s, c := lying(t, func(w *world) http.HandlerFunc { return w.content.ServeHTTP })
	r := s.w.repositories[0]
	ask := func(f func(*client, context.Context, *repository) outcome, wrong bool) {
		t.Helper()
		if o := f(c, t.Context(), r); (o.wrong != nil) != wrong {
			t.Errorf("%s: %v", &o.reply, o.wrong)
		}
	}
	layer, err := c.layer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.layer = layer
	for _, right := range []func(*client, context.Context, *repository) outcome{
		(*client).warmTag, (*client).movingTag, (*client).headTag, (*client).warmBlob, (*client).coldBlob, (*client).rangeOfBlob,
		(*client).headBlob, (*client).leaveBlob, (*client).slowBlob, (*client).warmManifest, (*client).pastManifest,
	} {
		ask(right, false)
	}
	ask((*client).unsignedTag, true)
	ask((*client).listTags, true)
	for range 50 {
		s.w.move(c.rng)
	}
	last := r.moving[len(r.moving)-1]
	last.all = append(last.all, meaning{begin: time.Now()})
	last.floor = len(last.all) - 1
	if o := c.tag(t.Context(), r, last, http.MethodGet); o.wrong == nil {
		t.Errorf("what was taken back is served: %s", &o.reply)
	}
}

// An outlet does what its fault says, and is as it was when that is over.
func TestOutlet(t *testing.T) {
	content := strings.Repeat("content ", 1000)
	o, err := newOutlet("x", func(fault) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, content) })
	})
	if err != nil {
		t.Fatal(err)
	}
	defer o.shut()
	get := func(ctx context.Context) (int, string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return res.StatusCode, string(body), err
	}
	for f, want := range map[fault]string{
		fair: "200 true true", refusing: "0 false false", hanging: "0 false false", failing: "503 false true", limiting: "429 false true",
		truncating: "200 false false", corrupting: "200 false true", dripping: "200 true true",
	} {
		bad, over := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.misbehave(bad, f) }()
		for now, _ := o.now(); f != refusing && now != f; now, _ = o.now() {
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		if f == refusing {
			for _, _, err := get(ctx); err == nil; _, _, err = get(ctx) {
			}
		}
		status, body, err := get(ctx)
		leave()
		if got := fmt.Sprintf("%d %t %t", status, body == content, err == nil); got != want {
			t.Errorf("%s: %s, want %s", f, got, want)
		}
		over()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if _, body, err := get(t.Context()); body != content || err != nil {
			t.Errorf("after it %s: %v", f, err)
		}
	}
}

// What a source serves is what was signed last, and when it lies it is something else.
func TestCollection(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]*collection{"TUF": newTUF(now), "Notary": newNotary("r.example/x", trusttest.NewKey(trusttest.ECDSA), now)} {
		c.begin()
		c.sign(func(r *trusttest.Role) { r.Sign("x", "x") })
		served := func(f fault) string {
			w := httptest.NewRecorder()
			c.serve(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "timestamp.json", f)
			return w.Body.String()
		}
		if right := string(c.repository.Files()["timestamp.json"]); served(fair) != right || served(dripping) != right {
			t.Errorf("%s: not what was signed", name)
		}
		seen := map[string]bool{}
		for _, f := range []fault{fair, spoiled, rolledBack, strange} {
			seen[served(f)] = true
		}
		if len(seen) != 4 {
			t.Errorf("%s: %d timestamps, of four", name, len(seen))
		}
	}
}
