package signing

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// delegate adds a delegation to a file.
func delegate(m *metadata.TargetsType, p PublicKey, d metadata.DelegatedRole) {
	if m.Delegations == nil {
		m.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	m.Delegations.Keys[p.ID] = p.key
	d.KeyIDs, d.Threshold = []string{p.ID}, 1
	m.Delegations.Roles = append(m.Delegations.Roles, d)
}

// TestPutDelegations: only targets delegates, and only to signers, each by its own name, so that nobody speaks as another.
func TestPutDelegations(t *testing.T) {
	s := newSite(t, InitOptions{})
	alice := s.signer("alice", "ghcr.io/team/*")
	s.signer("qa", "ghcr.io/team/*")
	p := s.publisher(t)
	paths := []string{"ghcr.io/team/*:*"}
	top := func(d ...metadata.DelegatedRole) []byte {
		return s.resign("targets", func(m *metadata.TargetsType) {
			for _, d := range d {
				delegate(m, alice, d)
			}
		})
	}
	var many []metadata.DelegatedRole
	for i := range maxDelegations - 1 {
		many = append(many, metadata.DelegatedRole{Name: fmt.Sprint("s", i), Paths: paths})
	}
	for name, c := range map[string]struct {
		file string
		data []byte
		text string
	}{
		"a signer to another":  {"2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { delegate(m, alice, metadata.DelegatedRole{Name: "qa", Paths: paths}) }), "only targets delegates"},
		"a signer to a new":    {"2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { delegate(m, alice, metadata.DelegatedRole{Name: "x", Paths: paths}) }), "only targets delegates"},
		"a signer in capitals": {"2.alice.json", s.resign("alice", func(m *metadata.TargetsType) { m.UnrecognizedFields = map[string]any{"Delegations": map[string]any{}} }), "only targets delegates"},
		"twice":                {"4.targets.json", top(metadata.DelegatedRole{Name: "qa", Paths: paths}), "delegates to qa twice"},
		"a name with a slash":  {"4.targets.json", top(metadata.DelegatedRole{Name: "team/qa", Paths: paths}), "what is no signer"},
		"a role at the top":    {"4.targets.json", top(metadata.DelegatedRole{Name: "snapshot", Paths: paths}), "what is no signer"},
		"hash prefixes":        {"4.targets.json", top(metadata.DelegatedRole{Name: "x", PathHashPrefixes: []string{"00"}}), "path_hash_prefixes"},
		"too many":             {"4.targets.json", top(many...), "1025 delegations, more than 1024"},
		"succinct roles": {"4.targets.json", s.resign("targets", func(m *metadata.TargetsType) {
			m.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{alice.ID: alice.key}, SuccinctRoles: &metadata.SuccinctRoles{KeyIDs: []string{alice.ID}, Threshold: 1, BitLength: 2, NamePrefix: "x"}}
		}), "succinct_roles"},
	} {
		err := p.Put(context.Background(), c.file, c.data)
		if trust.ReasonOf(err) != trust.MetadataInvalid || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %q", name, err, c.text)
		}
	}
	must(t, p.Put(context.Background(), "4.targets.json", top(metadata.DelegatedRole{Name: "x", Paths: paths})))
}

// TestNestedDelegation: a delegation that a signer has published by other means lets nobody publish through a gateway.
func TestNestedDelegation(t *testing.T) {
	s := newSite(t, InitOptions{})
	alice := s.signer("alice", "ghcr.io/team/*")
	s.change(func(e *Edit) error {
		f, err := e.role("alice")
		must(t, err)
		delegate(&f.Signed, alice, metadata.DelegatedRole{Name: "x", Paths: []string{"ghcr.io/team/*:*"}})
		return nil
	})
	m := metadata.Targets(s.now.Add(time.Hour))
	data, err := seal(s.keys, "x", m, []authority{{map[string]*metadata.Key{alice.ID: alice.key}, []string{alice.ID}, 1}}, nil)
	must(t, err)
	if err := s.publisher(t).Put(context.Background(), "1.x.json", data); trust.ReasonOf(err) != trust.ThresholdNotMet || !strings.Contains(err.Error(), "no role delegates to it") {
		t.Error(err)
	}
}

// hostile returns a stranger's file of the most bytes there may be, which names a key that counts.
func hostile(keyid, before, each, after string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"signatures":[{"keyid":%q,"sig":"%0128d"}],"signed":{"_type":"targets","spec_version":"1.0.31","version":2,"expires":"2030-01-01T00:00:00Z",%s`, keyid, 0, before)
	for i := 0; b.Len() < maxPut-400; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, each, i)
	}
	return []byte(b.String() + after + "}}")
}

// TestStranger: what nobody here has signed costs little, whatever it looks like.
func TestStranger(t *testing.T) {
	s := newSite(t, InitOptions{})
	alice := s.signer("alice", "ghcr.io/a/*")
	p := s.publisher(t)
	for name, data := range map[string][]byte{
		"entries":     hostile(alice.ID, `"targets":{`, `"%033d":{"hashes":{"s":""},"length":1}`, "}"),
		"delegations": hostile(alice.ID, `"targets":{},"x":{"keys":{},"roles":[`, `{"name":"%031d","xxxxxxxxxx":{},"pp":[]}`, "]}"),
		"objects":     hostile(alice.ID, `"targets":{},"x":[`, `{"%027d":{}}`, "]"),
		"text":        hostile(alice.ID, `"targets":{},"x":["`, `\u0022%d`, `"]`),
	} {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		stop, peak := make(chan bool), make(chan uint64)
		go func() {
			most := uint64(0)
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					peak <- most
					return
				case <-tick.C:
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
			}
		}()
		err := p.Put(context.Background(), "2.alice.json", data)
		close(stop)
		used := int64(<-peak) - int64(before.HeapInuse)
		if reason := trust.ReasonOf(err); reason != trust.ThresholdNotMet {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d MiB", name, used>>20)
		if used > 100<<20 {
			t.Errorf("%s: %d MiB", name, used>>20)
		}
	}
}

// TestStrangersDoNotLock: a file that nobody has signed waits for no writer, and keeps none waiting; and who waits for his
// turn gives up in time.
func TestStrangersDoNotLock(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	p := s.publisher(t)
	data := strip(t, s.resign("alice", func(*metadata.TargetsType) {}))
	l, err := p.folder.lock(context.Background())
	must(t, err)
	if err := p.Put(context.Background(), "2.alice.json", data); trust.ReasonOf(err) != trust.ThresholdNotMet {
		t.Errorf("while another writes: %v", err)
	}
	must(t, l.Close())
	must(t, p.reading.Acquire(context.Background(), 1))
	s.change(signs("", entry("ghcr.io/team/app", "v1", "one"))) // version 2
	if _, err := p.Renew(context.Background()); err != nil {
		t.Errorf("while a file is read: %v", err)
	}
	if err := p.Put(context.Background(), "2.alice.json", data); !errors.Is(err, ErrConflict) {
		t.Errorf("a conflict while a file is read: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Put(ctx, "3.alice.json", data); !errors.Is(err, context.Canceled) {
		t.Errorf("in the queue: %v", err)
	}
}

// TestPutOvertaken: who may sign is asked again when the file's turn comes.
func TestPutOvertaken(t *testing.T) {
	s := newSite(t, InitOptions{})
	s.signer("alice", "ghcr.io/team/*")
	p := s.publisher(t)
	fresh, err := plainKeychain(t.TempDir()).Generate("alice", Ed25519)
	must(t, err)
	put := func(meanwhile func()) error {
		_, err := p.published(context.Background())
		must(t, err)
		data := s.resign("alice", func(*metadata.TargetsType) {})
		version := s.read().version("alice") + 1
		p.now = func() time.Time { // asked first when the file is being read
			if f := meanwhile; f != nil {
				meanwhile = nil
				f()
			}
			return s.now
		}
		return p.Put(context.Background(), fileName("alice", version), data)
	}
	must(t, put(func() { s.change(func(e *Edit) error { e.reissue = true; return nil }) }))
	err = put(func() { s.change(signs("", entry("ghcr.io/team/app", "v1", "one"))) })
	if !errors.Is(err, ErrConflict) {
		t.Errorf("another's was faster: %v", err)
	}
	err = put(func() {
		s.change(func(e *Edit) error { _, err := e.RemoveSigner("alice", nil, true); return err })
		s.change(func(e *Edit) error {
			return e.AddSigner(Signer{Name: "alice", Keys: []PublicKey{{ID: fresh.ID, key: fresh.key}}, Repositories: []string{"ghcr.io/team/*"}})
		})
	})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "who signs it has changed") {
		t.Errorf("by keys that count no more: %v", err)
	}
}

// TestSignedBy: as many distinct ids of the authority as it asks for, over the very bytes.
func TestSignedBy(t *testing.T) {
	k := plainKeychain(t.TempDir())
	a := authority{keys: map[string]*metadata.Key{}, threshold: 2}
	for _, kind := range []Algorithm{Ed25519, ECDSA, Ed25519} {
		p, err := k.Generate("alice", kind)
		must(t, err)
		a.keys[p.ID], a.ids = p.key, append(a.ids, p.ID)
	}
	m := metadata.Targets(now)
	m.Signed.UnrecognizedFields = map[string]any{"x-<&>\"\\\n\u2028é": []any{true, false, nil, -7, map[string]any{}, "\u0000"}}
	_, err := seal(k, "alice", m, []authority{{a.keys, a.ids, 3}}, nil)
	must(t, err)
	sigs := m.Signatures
	for name, c := range map[string]struct {
		sigs []metadata.Signature
		ids  []string
		ok   bool
	}{
		"all":           {sigs, a.ids, true},
		"two":           {sigs[1:], a.ids, true},
		"one":           {sigs[:1], a.ids, false},
		"one listed":    {sigs, a.ids[:1], false},
		"one twice":     {sigs, []string{a.ids[0], a.ids[0]}, false},
		"another's":     {[]metadata.Signature{sigs[0], {KeyID: a.ids[1], Signature: sigs[0].Signature}}, a.ids, false},
		"empty":         {[]metadata.Signature{sigs[0], {KeyID: a.ids[1]}}, a.ids, false},
		"a key unknown": {sigs, []string{a.ids[0], "nobody's"}, false},
	} {
		m.Signatures = c.sigs
		data, err := m.ToBytes(true)
		must(t, err)
		e, err := unfold(data)
		must(t, err)
		if got := e.signedBy(authority{a.keys, c.ids, a.threshold}); got != c.ok {
			t.Errorf("%s: %v", name, got)
		}
		want, err := cjson.EncodeCanonical(m.Signed)
		must(t, err)
		if got := canonical(nil, e.signed); string(got) != string(want) {
			t.Errorf("canonical\n%s\n%s", got, want)
		}
		if (envelope{signed: e.signed, signatures: e.signatures}).signedBy(authority{a.keys, c.ids, 0}) {
			t.Errorf("%s: threshold 0", name)
		}
	}
}

// TestUnfold: a file of another shape than every reader's is none.
func TestUnfold(t *testing.T) {
	var many []string
	for range maxSignatures + 1 {
		many = append(many, `{"keyid":"a","sig":"00"}`)
	}
	for _, text := range []string{
		`[]`, `{}`, `{"signed":{}}`, `{"signatures":[]}`, `{"signed":[],"signatures":[]}`, `{"signed":{},"signatures":{}}`,
		`{"signed":{},"signatures":[],"Signed":{}}`, `{"signed":{},"signatures":[],"SIGNATURES":[]}`,
		`{"signed":{},"signatures":[` + strings.Join(many, ",") + `]}`,
	} {
		if _, err := unfold([]byte(text)); !errors.Is(err, errShape) {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	e, err := unfold([]byte(`{"signed":{},"signatures":[7,{},{"keyid":7},{"keyid":"a","sig":"00"}],"more":1}`))
	if err != nil || len(e.signatures) != 2 || e.signatures["a"] != "00" {
		t.Errorf("%v %v", e, err)
	}
}
