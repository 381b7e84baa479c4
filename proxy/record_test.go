package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

// PRODUCT: section 8, audit: on_full refuse. What is not recorded is not done.
func TestNotRecorded(t *testing.T) {
	g := newGate(t)
	g.sign("team/app", "v1", "signed")
	g.full = errors.New("disk full")
	for _, path := range []string{"/v2/corp/team/app/manifests/v1", "/v2/corp/team/app/manifests/v2", "/v2/corp/free/app/tags/list"} {
		a := g.get("GET", path)
		code, message, _ := refusalIn(t, a)
		if a.status != 503 || code != "UNAVAILABLE" || message != "audit log is not writable" || a.header.Get("Retry-After") == "" || a.header.Get("Docker-Content-Digest") != "" {
			t.Errorf("%s: %d %s %q %v", path, a.status, code, message, a.header)
		}
	}
}

// The record's JSON is an interface: its members, their order and their forms.
func TestRecordJSON(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	g.get("GET", "/v2/corp/team/app/manifests/v1")
	g.get("HEAD", "/v2/evil.example/x/manifests/"+image.Digest.String())
	records := g.recorded()
	for i, want := range []string{
		`{"time":"2026-11-22T12:00:00Z","decision":"ID","client":"127.0.0.1","identity":"","method":"GET","name":"registry.example/team/app","tag":"v1","digest":"","verdict":"allow","mode":"enforce","reason":"","rule":"registry.example/team/**","source":"notary","versions":{"root":1,"targets":12},"signers":["targets/releases"],"served":"` + image.Digest.String() + `","checked_age":9}`,
		`{"time":"2026-11-22T12:00:00Z","decision":"ID","client":"127.0.0.1","identity":"","method":"HEAD","name":"evil.example/x","tag":"","digest":"` + image.Digest.String() + `","verdict":"deny","mode":"none","reason":"unknown_registry","rule":"","source":"","versions":{},"signers":null,"served":"","checked_age":null}`,
	} {
		if got := records[i].AppendJSON(nil); string(got) != want {
			t.Errorf("\n%s\n%s", got, want)
		}
	}
}

// The record written out by hand is what encoding/json would write, whatever is in it.
func TestRecordJSONIsJSON(t *testing.T) {
	half := 0.5
	for _, odd := range []string{"", "plain", "\"", "\\", "<&>", "\x00\n\u2028", "\xff", "ä", "~ "} {
		r := Record{
			Time: time.Unix(1, 5).UTC(), Decision: odd, Client: odd, Identity: odd, Method: odd, Name: odd, Tag: odd, Digest: digest.Digest(odd), Verdict: odd,
			Mode: odd, Reason: odd, Rule: odd, Source: odd, Signers: []string{odd, "x"}, Served: digest.Digest(odd), CheckedAge: &half, Grace: true,
		}
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.Replace(want, []byte(`"versions":null`), []byte(`"versions":{}`), 1)
		if got := r.AppendJSON(nil); string(got) != string(want) {
			t.Errorf("%q\n%s\n%s", odd, got, want)
		}
		r.Versions = Versions{{Role: odd, Version: 3}, {Role: "other", Version: 4}}
		var back struct{ Versions map[string]int64 }
		if err := json.Unmarshal(r.AppendJSON(nil), &back); err != nil || len(back.Versions) != 2 || back.Versions["other"] != 4 {
			t.Errorf("%q: %v %v", odd, back, err)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	age := 0.25
	r := Record{
		Time: time.Unix(1, 5).UTC(), Decision: "01M87031831AC1BA114JX1QTPE", Client: "127.0.0.1", Method: "GET", Name: "registry.example/team/app", Tag: "v1",
		Verdict: "allow", Mode: "enforce", Rule: "registry.example/**", Source: "site", Signers: []string{"release"}, CheckedAge: &age,
		Served:   "sha256:993fec79cc4442bc74dbbc69437e81860bc1396ac699c89b45a9db063bb3a108",
		Versions: Versions{{Role: "root", Version: 1}, {Role: "timestamp", Version: 30}, {Role: "snapshot", Version: 30}, {Role: "targets", Version: 3}},
	}
	for b.Loop() {
		r.AppendJSON(make([]byte, 0, 768))
	}
}

// A client that leaves while its manifest is fetched has a record too, and nothing was served.
func TestClientLeaves(t *testing.T) {
	g := newGate(t)
	image := g.sign("team/app", "v1", "signed")
	stall := make(chan struct{})
	g.registry.Fail("/v2/team/app/manifests/"+image.Digest.String(), upstreamtest.Fault{Stall: stall})
	client := &http.Client{Timeout: 100 * time.Millisecond}
	if _, err := client.Get(g.server.URL + "/v2/corp/team/app/manifests/v1"); err == nil {
		t.Fatal("an answer came")
	}
	g.until("the handler has ended", func() bool { return g.answered() == 1 })
	close(stall)
	if r := g.recorded(); len(r) != 1 || r[0].Served != "" || r[0].Verdict != "allow" {
		t.Errorf("%+v", r)
	}
}
