package strict

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// refused are documents that two readers could read differently.
var refused = []string{
	"", "{", "[1,]", "{}{}", "{} x", `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"b":{"a":1,"c":2,"a":3}}]`, "1.0", "1e3", "-0", "01", "+1",
	"9007199254740992", "-9007199254740992", "18446744073709551617", "nul", "\"\xff\"", "\xef\xbb\xbf{}", `{"a" 1}`, `{1:2}`, "[1 2]", `{"a":1,}`,
	"'a'", "NaN", strings.Repeat("[", 34) + strings.Repeat("]", 34),
}

func TestRefuses(t *testing.T) {
	for _, s := range refused {
		if v, err := Decode([]byte(s)); err == nil {
			t.Errorf("%q was read as %v", s, v)
		}
		if Check([]byte(s), "") == nil {
			t.Errorf("%q passed", s)
		}
	}
}

func TestDecode(t *testing.T) {
	got, err := Decode([]byte(` {"b":[true,null,"x\u00fc"],"a":-7} `))
	want := Object{{"a", int64(-7)}, {"b", []any{true, nil, "xü"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNull(t *testing.T) {
	for s, ok := range map[string]bool{
		`{"a":1}`: true, `null`: false, `{"a":null}`: false, `{"a":[null]}`: false, `{"free":null}`: true, `{"a":{"free":{"b":[null]}}}`: true,
		`{"free":{},"a":null}`: false, `{"":null}`: false,
	} {
		if err := Check([]byte(s), "free"); (err == nil) != ok {
			t.Errorf("%s: %v", s, err)
		}
	}
	if Check([]byte(`{"":null}`), "") == nil {
		t.Error("no name is a name of its own")
	}
}

// TestBounds: neither reader lets a document have very many values.
func TestBounds(t *testing.T) {
	for n, want := range map[int][2]bool{1000: {true, true}, 1 << 17: {false, false}} {
		raw := []byte("[" + strings.Repeat("1,", n) + "1]")
		_, err := Decode(raw)
		if got := [2]bool{err == nil, Check(raw, "") == nil}; got != want {
			t.Errorf("%d values: %v, want %v", n, got, want)
		}
	}
}

// FuzzCheck: what Decode reads without null, Check lets pass, and the other way round as far as Decode's tighter bound lets.
func FuzzCheck(f *testing.F) {
	for _, s := range append(refused, `{"signed":{"a":1},"signatures":[]}`, `{"a":"\u003c","b":[1,-2,true]}`) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := Decode(raw)
		cerr := Check(raw, "")
		if err == nil && cerr != nil && !strings.Contains(fmt.Sprintf("%#v", v), "nil") {
			t.Errorf("%q: %v", raw, cerr)
		}
		if err != nil && cerr == nil && len(raw) < 1024 {
			t.Errorf("%q passed: %v", raw, err)
		}
	})
}
