package dct

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
	"github.com/tagwarden/tagwarden/trust/trusttest"
)

func TestInspect(t *testing.T) {
	n := newRepo()
	n.Publish()
	other := Pin{Keys: []string{trusttest.NewKey(trusttest.ECDSA).ID()}}
	for name, c := range map[string]struct {
		pin  Pin
		want trust.Reason
	}{
		"pinned": {pinOf(n), ""}, "first use": {Pin{TOFU: true}, ""}, "pinned otherwise": {other, trust.RootNotPinned}, "not pinned": {Pin{}, trust.RootNotPinned},
	} {
		w := rig(t, n, c.pin)
		var pins names.Index[Pin]
		if name != "not pinned" {
			m, err := names.ParseMatch(gun)
			if err != nil {
				t.Fatal(err)
			}
			pins.Add(m, c.pin)
		}
		f, err := New(Options{
			Source: "fixtures", GUN: "{name}", Pins: pins, State: w.store, Now: func() time.Time { return fixtureTime },
			Fetcher: func(string) trust.Source { return n }, Observe: func(trust.Event) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Inspect(t.Context(), gun)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Versions) != 5 || got.Tags != 2 || !slices.Equal(got.Keys, []string{n.Root.Keys[0].ID()}) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Refused == nil && c.want != "" || got.Refused != nil && trust.ReasonOf(got.Refused) != c.want && !errors.Is(got.Refused, trust.ErrNoPin) {
			t.Errorf("%s: %v", name, got.Refused)
		}
		if s, err := w.open().Load(t.Context()); s != nil || err != nil {
			t.Errorf("%s: an inspection was kept: %v", name, err)
		}
	}
	n.Timestamp.Tamper = spoilSignature
	n.Next()
	f, err := New(Options{GUN: "{name}", State: rig(t, n, Pin{}).store, Now: func() time.Time { return fixtureTime }, Fetcher: func(string) trust.Source { return n }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Inspect(t.Context(), gun); trust.ReasonOf(err) != trust.SignatureInvalid {
		t.Errorf("%v", err)
	}
}
