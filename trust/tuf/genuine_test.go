package tuf

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/state"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// folder is a source of files in memory.
type folder map[string][]byte

func (f folder) Fetch(_ context.Context, file string, _ int64) ([]byte, error) {
	if raw, ok := f[file]; ok {
		return raw, nil
	}
	return nil, fs.ErrNotExist
}

// library writes a repository as users of the library do.
type library struct {
	t     *testing.T
	files folder
}

func (l library) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// key returns a fresh key of each type that the library signs with.
func (l library) key(kind string) (signature.Signer, *metadata.Key) {
	l.t.Helper()
	var private crypto.Signer
	var s signature.Signer
	var err error
	switch kind {
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	l.must(err)
	if kind == "rsa" {
		s, err = signature.LoadRSAPSSSigner(private.(*rsa.PrivateKey), crypto.SHA256, &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256})
	} else {
		s, err = signature.LoadSigner(private, crypto.SHA256)
	}
	l.must(err)
	k, err := metadata.KeyFromPublicKey(private.Public())
	l.must(err)
	return s, k
}

// write signs a file and publishes it.
func write[T metadata.Roles](l library, name string, md *metadata.Metadata[T], pretty bool, by ...signature.Signer) []byte {
	l.t.Helper()
	for _, s := range by {
		_, err := md.Sign(s)
		l.must(err)
	}
	raw, err := md.ToBytes(pretty)
	l.must(err)
	l.files[name] = raw
	return raw
}

// repository publishes one tag by a delegated role that two of its keys sign, in all kinds of keys.
func (l library) repository() {
	end := now.AddDate(0, 1, 0)
	root, targets, team := metadata.Root(end), metadata.Targets(end), metadata.Targets(end)
	snapshot, timestamp := metadata.Snapshot(end), metadata.Timestamp(end)
	signers := make(map[string]signature.Signer)
	for role, kind := range map[string]string{"root": "rsa", "targets": "ecdsa", "snapshot": "ed25519", "timestamp": "ecdsa"} {
		s, k := l.key(kind)
		signers[role] = s
		l.must(root.Signed.AddKey(k, role))
	}
	targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{{
		Name: "team", KeyIDs: []string{}, Threshold: 2, Paths: []string{"r.example/*:*"},
	}}}
	var by []signature.Signer
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		s, k := l.key(kind)
		by = append(by, s)
		l.must(targets.Signed.AddKey(k, "team"))
	}
	file, err := metadata.TargetFile().FromBytes("x", []byte("good"), "sha256", "sha512")
	l.must(err)
	custom := json.RawMessage(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","note":null}`)
	file.Custom = &custom
	team.Signed.Targets[app] = file
	snapshot.Signed.Meta["team.json"] = metadata.MetaFile(1)
	write(l, "1.root.json", root, true, signers["root"])
	write(l, "1.targets.json", targets, true, signers["targets"])
	write(l, "1.team.json", team, false, by[0], by[2])
	write(l, "1.snapshot.json", snapshot, true, signers["snapshot"])
	write(l, "timestamp.json", timestamp, true, signers["timestamp"])
}

// TestLibrary: what users of the library write is verified.
func TestLibrary(t *testing.T) {
	l := library{t, make(folder)}
	l.repository()
	store, err := state.Open(t.Context(), state.Options{Dir: t.TempDir()})
	l.must(err)
	defer store.Close()
	f, err := New(Options{
		Source: "site", Target: "{name}:{tag}", Root: func(string) ([]byte, error) { return l.files["1.root.json"], nil }, State: store,
		Fetcher: func(string) trust.Source { return l.files }, Now: func() time.Time { return now }, Observe: func(e trust.Event) { t.Error(e) },
	})
	l.must(err)
	s := refreshed(t, f.Open(Whole))
	e := s.Lookup(app)
	if len(e.Claims) != 1 {
		t.Fatalf("%+v", e)
	}
	c := e.Claims[0]
	want := trust.Target{
		Digest: digest.FromString("good"), Size: 4, MediaType: "application/vnd.oci.image.manifest.v1+json", Exact: true,
		SHA512: digest.SHA512.FromString("good").Encoded(),
	}
	if c.Target != want || c.Role != "team" || len(c.Keys) != 2 {
		t.Errorf("%+v, want %+v", c, want)
	}
	if got := fmt.Sprintf("%d %s %d %d", len(s.Versions), s.Versions[4].Role, len(s.Versions[4].Keys), len(s.Versions[0].Keys)); got != "5 team 2 1" {
		t.Errorf("versions %s: %+v", got, s.Versions)
	}
}
