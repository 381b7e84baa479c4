package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/strict"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// FuzzPublicKey: what is taken for a public key is of a kind that signs the same everywhere, has the id that the metadata
// gives it, and prints back as the same key.
func FuzzPublicKey(f *testing.F) {
	k := plainKeychain(f.TempDir())
	for _, a := range []Algorithm{Ed25519, ECDSA} {
		p, err := k.Generate("alice", a)
		must(f, err)
		text, err := p.PEM()
		must(f, err)
		f.Add(text)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(f, err)
	der, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	must(f, err)
	f.Add(block(publicBlock, der))
	f.Add([]byte(dockerPublic))
	f.Add([]byte(strings.Replace(dockerPublic, "role: alice", "role: a b\nRole:\nx:y: z", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePublicKey(data)
		if err != nil {
			return
		}
		public, err := p.key.ToPublicKey()
		if err != nil || supported(public) != nil || canonicalID(p.key) != p.ID || len(p.ID) != 64 {
			t.Fatalf("%q is key %q: %T, %v", data, p.ID, public, err)
		}
		text, err := p.PEM()
		must(t, err)
		again, err := ParsePublicKey(text)
		if err != nil || again.ID != p.ID || again.Role != p.Role || !bytes.Equal(again.starter, p.starter) {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", data, text, again, err)
		}
	})
}

// FuzzPrivateKey: what is taken for a private key signs, is of a kind that is supported, and asks for its passphrase at most
// once; what is not taken is not repeated in the error.
func FuzzPrivateKey(f *testing.F) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(f, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(f, err)
	sec1, err := x509.MarshalECPrivateKey(p256)
	must(f, err)
	for _, data := range [][]byte{
		inPKCS8(f, ed), inPKCS8(f, p256), block(sec1Block, sec1), append(block("EC PARAMETERS", []byte{6, 8}), block(sec1Block, sec1)...),
		[]byte(dockerKey), block(sigstoreBlock, []byte(`{"kdf":{"name":"scrypt","params":{"N":2,"r":1,"p":1},"salt":"AA=="}}`)), []byte("x"),
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		asked := 0
		s, err := parsePrivateKey(data, func() ([]byte, error) { asked++; return []byte("passphrase1"), nil })
		if asked > 1 {
			t.Errorf("%q: asked %d times", data, asked)
		}
		if err != nil {
			if s != nil || len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("%q: %v, %q", data, s, err)
			}
			return
		}
		if err := supported(s); err != nil {
			t.Fatal(err)
		}
		public, err := publicKey(s.Public(), "")
		must(t, err)
		message := []byte("message")
		sig, err := sign(s, message)
		must(t, err)
		m := metadata.Targets(now)
		m.Signatures = []metadata.Signature{{KeyID: public.ID, Signature: sig}}
		if !belongs(s, public.ID) || !verifiesMessage(public.key, message, m.Signatures[0].Signature.String()) {
			t.Errorf("%q: its signature does not verify", data)
		}
	})
}

// FuzzKeyFile: what is in a keychain opens as the key that its name says, or not at all.
func FuzzKeyFile(f *testing.F) {
	k := plainKeychain(f.TempDir())
	p, err := k.Generate("alice", Ed25519)
	must(f, err)
	good, err := os.ReadFile(k.File(p.ID))
	must(f, err)
	f.Add(uint16(0), uint16(0), []byte(nil))
	f.Add(uint16(0), uint16(1), []byte("x"))
	f.Add(uint16(40), uint16(0), []byte("sha256: 00\n"))
	f.Add(uint16(len(good)), uint16(0), good)
	f.Fuzz(func(t *testing.T, from, cut uint16, text []byte) {
		begin := min(int(from), len(good))
		data := bytes.Join([][]byte{good[:begin], text, good[min(begin+int(cut), len(good)):]}, nil)
		must(t, os.WriteFile(k.File(p.ID), data, 0o600))
		s, err := plainKeychain(k.dir).signer(p.ID, "alice")
		if err == nil && !belongs(s, p.ID) {
			t.Errorf("%q opens as another key", data)
		}
	})
}

// FuzzAdmit: a signer may sign whatever she likes. No bytes make the readers panic; what is admitted is the same message to
// the reader that has vouched for it and to the one that is published, and each entry is one that a gateway takes.
func FuzzAdmit(f *testing.F) {
	s := newSite(f, InitOptions{})
	alice := s.signer("alice", "ghcr.io/team/*")
	s.change(signs("alice", entry("ghcr.io/team/app", "v1", "one")))
	good, err := os.ReadFile(filepath.Join(s.dir, metadataDir, "2.alice.json"))
	must(f, err)
	key, err := s.keys.signer(alice.ID, "alice")
	must(f, err)
	v := s.read()
	e, err := unfold(good)
	must(f, err)
	signed := canonical(nil, e.signed)
	f.Add(uint16(0), uint16(0), "")
	for _, text := range []string{
		`"Version":3,`, `"targets":{},`, `"TARGETS":{"ghcr.io/team/app:v2":{"length":1,"hashes":{"sha256":"00"}}},`, `"Delegations":{},`, `"x":[1,{"<":"\u2028"}],`, `"expires":"x",`,
	} {
		f.Add(uint16(1), uint16(0), text)
	}
	f.Fuzz(func(t *testing.T, from, cut uint16, text string) {
		begin := min(int(from), len(signed))
		body := string(signed[:begin]) + text + string(signed[min(begin+int(cut), len(signed)):])
		message := []byte(body)
		if v, err := strict.Decode(message); err == nil {
			message = canonical(nil, v)
		}
		sig, err := sign(key, message)
		must(t, err)
		data := fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":"%x"}],"signed":%s}`, alice.ID, sig, body)
		b, err := admit(v, "alice", 2, data, now)
		if body == string(signed) && err != nil {
			t.Error(err)
		}
		if err != nil {
			if len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		m := b.targets["alice"]
		theirs, err := cjson.EncodeCanonical(m.Signed)
		if err != nil || !bytes.Equal(message, theirs) {
			t.Errorf("%q was vouched for, and %q is published, %v", message, theirs, err)
		}
		for path, e := range m.Signed.Targets {
			if err := wellFormed(e); err != nil || m.Signed.Delegations != nil || m.Signed.Version != 2 {
				t.Errorf("%q: %q %v", data, path, err)
			}
		}
	})
}

// FuzzCanonical: the message that a file's signatures cover is what another implementation makes of it.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"signed":{"a":1},"signatures":[]}`, `{"a":"\u003c","b":[1,-2,null,true,{}]}`, `"\ud83d\ude00"`, `{"aa":1,"a":2,"\u00e4":4,"B":"\"\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := strict.Decode(raw)
		if err != nil {
			return
		}
		theirs, err := cjson.EncodeCanonical(json.RawMessage(raw))
		if ours := canonical(nil, v); err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%q is %q, and elsewhere %q, %v", raw, ours, theirs, err)
		}
	})
}

// FuzzFileName: a name under which something is published stands for one role and version, and they for it.
func FuzzFileName(f *testing.F) {
	for _, s := range []string{"1.root.json", "3.a%2Fb.json", "7.x.root.json", "01.root.json", "1.a%2fb.json", "1.\n.json", "timestamp.json"} {
		f.Add(s, "alice", int64(1))
	}
	f.Fuzz(func(t *testing.T, file, role string, version int64) {
		if role, version, ok := parseName(file); ok && (fileName(role, version) != file || version < 1 || role == "" || filepath.Base(file) != file) {
			t.Errorf("%q is %s v%d", file, role, version)
		}
		r, v, ok := parseName(fileName(role, version))
		if ok && (r != role || v != version) || !ok && checkSigner(role) == nil && version > 0 && version < 1e15 {
			t.Errorf("%q v%d is %q, which is %q v%d, %v", role, version, fileName(role, version), r, v, ok)
		}
	})
}

// FuzzPatterns: the paths that a signer is given select the tags of the names that her match selects, to a bounded depth, and
// of no others; and they read back as the match.
func FuzzPatterns(f *testing.F) {
	for _, c := range [][2]string{
		{"docker.io/nginx", "docker.io/library/nginx"}, {"ghcr.io/team/*", "ghcr.io/team/app"}, {"ghcr.io/team/**", "ghcr.io/teams/app"}, {"[::1]:5000/app", "[::1]:5000/app"},
		{"**", "localhost:5000/a/b"}, {"[::1]:5000/**", "[::1]:5000/a/b"}, {"r.io/a/**", "r.io/a/b/c/d/e/f/g/h/i/j"}, {"r.io/a*", "r.io/ab"},
	} {
		f.Add(c[0], c[1], "v1")
	}
	f.Fuzz(func(t *testing.T, match, name, tag string) {
		full, paths, err := patterns(match)
		if err != nil {
			return
		}
		if got := matches(paths); len(got) != 1 || got[0] != full {
			t.Errorf("%q is %q, which reads as %q", match, paths, got)
		}
		name, err = names.Repository(name)
		if err != nil || names.Tag(tag) != nil {
			return
		}
		m, err := names.ParseMatch(match)
		must(t, err)
		var index names.Index[bool]
		index.Add(m, true)
		_, selected := index.Find(name)
		prefix := strings.TrimSuffix(strings.TrimSuffix(full, "**"), "/")
		deep := strings.HasSuffix(full, "**") && strings.Count(strings.TrimPrefix(name, prefix), "/") > maxDepth
		if full == "**" {
			deep = strings.Count(name, "/") > maxDepth
		}
		if got := covers(metadata.DelegatedRole{Paths: paths}, name+":"+tag); got != (selected && !deep) {
			t.Errorf("%q covers %q: %v", match, name+":"+tag, got)
		}
	})
}
