package dct

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/tagwarden/tagwarden/trust/strict"
)

// independent canonicalises raw with another implementation.
func independent(raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return cjson.EncodeCanonical(v)
}

// checkCanonical holds what strict.Decode accepts to two other readings of it.
func checkCanonical(t *testing.T, raw []byte) {
	t.Helper()
	v, err := strict.Decode(raw)
	if err != nil {
		return
	}
	ours := canonical(nil, v)
	theirs, err := independent(raw)
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("%q canonicalises to %q, elsewhere to %q, %v", raw, ours, theirs, err)
	}
	// Canonical JSON leaves control characters as they are, which JSON does not allow; the rest must read back the same.
	if again, err := strict.Decode(ours); err == nil && !bytes.Equal(canonical(nil, again), ours) {
		t.Errorf("%q prints as %q, which prints as %q", raw, ours, canonical(nil, again))
	}
}

func TestCanonicalIsWhatOthersSign(t *testing.T) {
	for _, s := range []string{
		`{"b":1,"a":[true,false,null,"x"]}`, `"\u003c\u003e\u0026<>&"`, `"\"\\\/\b\f\n\r\t"`, `"ü€😀\u2028\u007f"`, `"\ud800"`,
		`-9007199254740991`, `{"":{"":[]}}`, ` [ 1 , 2 ] `, `{"aa":1,"a":2,"B":3,"ä":4}`,
	} {
		if _, err := strict.Decode([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		checkCanonical(t, []byte(s))
	}
	files, err := filepath.Glob("testdata/*/tuf/*.json")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkCanonical(t, raw)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"signed":{"a":1},"signatures":[]}`, `{"a":"\u003c","b":[1,-2,null,true]}`, `"\ud83d\ude00"`, `{"a":{"a":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(checkCanonical)
}

// FuzzDocument: no bytes whatever make the parsers panic or believe a document that nobody signed.
func FuzzDocument(f *testing.F) {
	for _, file := range []string{"root", "timestamp", "snapshot", "targets", "targets/releases"} {
		raw, err := os.ReadFile(filepath.Join("testdata/b-releases-signer/tuf", file+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := parseRoot("127.0.0.1:25500/dct/released", raw); err == nil {
			r.span()
			Pin{TOFU: true}.matches(r, fixtureTime)
		}
		parseTimestamp(raw)
		parseSnapshot(raw)
		if _, err := parseTargets("targets", raw); err == nil && !bytes.Contains(raw, []byte("_type")) && !bytes.Contains(raw, []byte(`\u`)) {
			t.Errorf("%q is a targets file", raw)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	raw, err := os.ReadFile("testdata/b-releases-signer/tuf/targets.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := parseTargets("targets", raw); err != nil {
			b.Fatal(err)
		}
	}
}
