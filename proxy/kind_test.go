package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
)

// kinds are documents with the type they have, "" for those that are refused.
var kinds = []struct{ body, mediaType string }{
	{`{"mediaType":"` + ociIndex + `","manifests":[]}`, ociIndex},
	{`{"mediaType":"` + dockerList + `","manifests":[{}]}`, dockerList},
	{`{"mediaType":"` + ociManifest + `","config":{},"layers":[]}`, ociManifest},
	{`{"mediaType":"` + dockerV2 + `","config":{},"layers":[]}`, dockerV2},
	{`{"mediaType":"` + ociArtifact + `","blobs":[]}`, ociArtifact},
	{`{"mediaType":"application/vnd.example.thing+json","data":1}`, "application/vnd.example.thing+json"},
	{`{"manifests":[]}`, ociIndex},
	{`{"mediaType":"","manifests":[]}`, ociIndex},
	{` { "schemaVersion" : 2 , "config" : { "a":[1,{"layers":"}\"]"}] } , "layers" : [ ] } ` + "\n", ociManifest},
	{`{"layers":[{"manifests":1,"fsLayers":2,"mediaType":"x"}]}`, ociManifest},
	{`{"layers":null,"x":-1.5e3,"y":true,"z":"\\\"manifests\\\":"}`, ociManifest},
	{`{"m\u0065diaType":"` + ociIndex + `","manifests":[]}`, ociIndex},
	{`{"mediaType":"application\/vnd.oci.image.index.v1+json"}`, ociIndex},

	{``, ""}, {`null`, ""}, {`[]`, ""}, {`"x"`, ""}, {`1`, ""}, {`{`, ""}, {`{}`, ""}, {`{"manifests":[]}{}`, ""}, {`{"manifests":[],}`, ""},
	{"\xef\xbb\xbf" + `{"manifests":[]}`, ""}, {`{'manifests':[]}`, ""}, {"{\"manifests\":[]}\x00", ""},
	// The configuration of an image is no image.
	{`{"architecture":"amd64","config":{},"rootfs":{}}`, ""},
	// Schema 1.
	{`{"schemaVersion":1,"fsLayers":[]}`, ""}, {`{"mediaType":"` + dockerV1 + `"}`, ""}, {`{"mediaType":"` + dockerV1Signed + `"}`, ""},
	{`{"mediaType":"` + ociManifest + `","layers":[],"fsLayers":[]}`, ""}, {`{"fsLayers":null,"layers":[]}`, ""},
	// Two things at once.
	{`{"manifests":[],"layers":[]}`, ""}, {`{"manifests":[],"config":{}}`, ""}, {`{"manifests":null,"layers":[]}`, ""},
	{`{"mediaType":"` + ociIndex + `","manifests":[],"layers":[]}`, ""},
	{`{"mediaType":"` + ociIndex + `","layers":[]}`, ""}, {`{"mediaType":"` + ociManifest + `","manifests":[]}`, ""},
	{`{"mediaType":"` + dockerList + `","config":{}}`, ""}, {`{"mediaType":"` + dockerV2 + `","manifests":[]}`, ""},
	{`{"mediaType":"application/x","manifests":[],"layers":[]}`, ""},
	// Two members for one, by any way of comparing names.
	{`{"manifests":[],"manifests":[]}`, ""}, {`{"mediaType":"` + ociIndex + `","mediaType":"` + ociManifest + `"}`, ""},
	{`{"layers":[],"Layers":[]}`, ""}, {`{"layers":[],"l\u0061yers":[]}`, ""}, {`{"mediaType":"` + ociIndex + `","MEDIATYPE":""}`, ""},
	{`{"manifests":[],"config":{},"config":{}}`, ""},
	// A spelling that some clients take for the member, and others do not.
	{`{"Manifests":[]}`, ""}, {`{"layers":[],"Manifests":[]}`, ""}, {`{"layers":[],"manife\u017fts":[]}`, ""}, {"{\"layers\":[],\"manife\u017fts\":[]}", ""},
	{`{"LAYERS":[]}`, ""}, {`{"layers":[],"Config":{}}`, ""}, {`{"MediaType":"` + ociIndex + `","manifests":[]}`, ""}, {`{"fslayers":[],"layers":[]}`, ""},
	// A media type that a browser would run.
	{`{"mediaType":"text/html","layers":[]}`, ""}, {`{"mediaType":"image/svg+xml","layers":[]}`, ""}, {`{"mediaType":"application/xhtml+xml","layers":[]}`, ""},
	{`{"mediaType":"application/javascript","layers":[]}`, ""}, {`{"mediaType":"application/vnd.mozilla.xul+xml","layers":[]}`, ""}, {`{"mediaType":"application/json","layers":[]}`, ""},
	// No media type, or one that would break out of a header.
	{`{"mediaType":1,"layers":[]}`, ""}, {`{"mediaType":null,"layers":[]}`, ""}, {`{"mediaType":{},"layers":[]}`, ""}, {`{"mediaType":["` + ociIndex + `"]}`, ""},
	{`{"mediaType":"a/b\r\nX: y"}`, ""}, {`{"mediaType":"a/b\n"}`, ""}, {`{"mediaType":"a"}`, ""}, {`{"mediaType":"/"}`, ""}, {`{"mediaType":"a/b/c"}`, ""},
	{`{"mediaType":"a/b; c"}`, ""}, {"{\"mediaType\":\"a/\u00e4\"}", ""}, {"{\"mediaType\":\"a/\xff\"}", ""}, {`{"mediaType":"a/` + strings.Repeat("b", 300) + `"}`, ""},
}

func TestKindOf(t *testing.T) {
	for _, c := range kinds {
		k, err := kindOf([]byte(c.body))
		var r *trust.Refusal
		if k.mediaType != c.mediaType || (err == nil) != (c.mediaType != "") || err != nil && (!errors.As(err, &r) || r.Reason != trust.MediaTypeMismatch) {
			t.Errorf("%.100q: %q, %v; want %q", c.body, k.mediaType, err, c.mediaType)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%.100q: %q", c.body, err)
		}
	}
}

// What bytes say, and what only their registry says of them.
func TestCameAs(t *testing.T) {
	for _, c := range []struct {
		kind kind
		sent string
		ok   bool
	}{
		{kind{ociIndex, true}, ociIndex, true}, {kind{ociIndex, true}, "", true}, {kind{ociIndex, true}, "application/json", true},
		{kind{ociIndex, true}, "text/plain", true}, {kind{ociIndex, true}, "application/octet-stream", true},
		{kind{ociIndex, true}, ociManifest, false}, {kind{ociIndex, true}, dockerList, false}, {kind{dockerV2, true}, ociManifest, false},
		{kind{ociIndex, false}, dockerList, true}, {kind{ociManifest, false}, dockerV2, true}, {kind{ociManifest, false}, ociManifest, true},
		{kind{ociIndex, false}, dockerV2, false}, {kind{ociManifest, false}, ociIndex, false},
		{kind{ociManifest, true}, dockerV1, false}, {kind{ociManifest, false}, dockerV1Signed, false},
		{kind{"application/x", true}, ociManifest, false}, {kind{"application/x", true}, "application/y", true},
	} {
		if err := c.kind.cameAs(c.sent); (err == nil) != c.ok {
			t.Errorf("%+v sent as %q: %v", c.kind, c.sent, err)
		}
	}
}

// What is taken for one thing is that to a common decoder as well, which does not look at case and takes the last of two.
func FuzzKindOf(f *testing.F) {
	for _, c := range kinds {
		f.Add([]byte(c.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		k, err := kindOf(body)
		if err != nil {
			if k != (kind{}) {
				t.Fatalf("%q: %+v beside an error", body, k)
			}
			return
		}
		var doc struct {
			MediaType                           string
			Manifests, Layers, Config, FsLayers json.RawMessage
		}
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		index, image := doc.Manifests != nil, doc.Layers != nil || doc.Config != nil
		if index && image || doc.FsLayers != nil || k.stated != (doc.MediaType != "") || k.stated && doc.MediaType != k.mediaType {
			t.Fatalf("%q is %+v, but decodes to %+v", body, k, doc)
		}
		if index && isImage(k.mediaType) || image && isIndex(k.mediaType) || isSchema1(k.mediaType) || !validType(k.mediaType) || k.mediaType == "" {
			t.Fatalf("%q is %+v", body, k)
		}
	})
}

// PRODUCT: section 8, hostile manifests keep memory bounded, whatever they are made of.
func TestKindOfMemory(t *testing.T) {
	const n = 1 << 20
	for name, body := range map[string]string{
		"nested arrays":  `{"manifests":` + strings.Repeat("[", n),
		"nested objects": strings.Repeat(`{"a":`, n/5),
		"members":        "{" + strings.Repeat(`"a":1,`, n/6) + `"layers":[]}`,
		"one long name":  `{"` + strings.Repeat("a", n-20) + `":1,"layers":[]}`,
		"escaped name":   `{"` + strings.Repeat(`\u0061`, n/6-20) + `":1,"layers":[]}`,
		"descriptors":    `{"layers":[` + strings.Repeat(`{"digest":"a"},`, n/15) + `{}]}`,
		"long type":      `{"mediaType":"` + strings.Repeat("a", n-40) + `","layers":[]}`,
	} {
		doc := []byte(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := kindOf(doc)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4*uint64(n) {
			t.Errorf("%s: %d bytes for %d", name, used, len(doc))
		}
		if want := strings.HasPrefix(name, "nested") || name == "long type"; (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkKindOf(b *testing.B) {
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","size":12345678}`
	for _, n := range []int{8, 20000} {
		body := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{},"layers":[` + strings.Repeat(layer+",", n) + layer + `]}`)
		b.Run(fmt.Sprintf("%dKiB", len(body)>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := kindOf(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
