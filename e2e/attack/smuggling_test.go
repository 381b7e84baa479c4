package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tagwarden/tagwarden/proxy/upstreamtest"
)

func smuggled(t *testing.T) {
	w := newWorld(t, settings{})
	inner := "GET " + manifest("smuggled") + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	head := "GET " + manifest("v1") + " HTTP/1.1\r\nHost: localhost\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(inner))
	for name, raw := range map[string]string{
		"length on GET":                    head + length + "\r\n" + inner,
		"length on HEAD":                   "HEAD" + head[3:] + length + "\r\n" + inner,
		"length on PUT":                    "PUT" + head[3:] + length + "\r\n" + inner,
		"two lengths":                      head + "Content-Length: 0\r\n" + length + "\r\n" + inner,
		"two lengths in one line":          head + fmt.Sprintf("Content-Length: 0, %d\r\n\r\n", len(inner)) + inner,
		"two equal lengths":                head + length + length + "\r\n" + inner,
		"negative length":                  head + "Content-Length: -1\r\n\r\n" + inner,
		"signed length":                    head + "Content-Length: +0\r\n\r\n" + inner,
		"hexadecimal length":               head + fmt.Sprintf("Content-Length: 0x%x\r\n\r\n", len(inner)) + inner,
		"huge length":                      head + "Content-Length: 99999999999999999999\r\n\r\n" + inner,
		"chunks":                           head + "Transfer-Encoding: chunked\r\n\r\n" + chunked,
		"chunks and length":                head + length + "Transfer-Encoding: chunked\r\n\r\n" + chunked,
		"chunks and no length":             head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"chunks twice":                     head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"chunks and identity":              head + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunked,
		"chunks of another name":           head + "Transfer-Encoding: xchunked\r\n\r\n" + chunked,
		"chunks after a tab":               head + "Transfer-Encoding:\tchunked\r\n\r\n" + chunked,
		"chunks after a vertical tab":      head + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunked,
		"space before the colon":           head + "Transfer-Encoding : chunked\r\n\r\n" + chunked,
		"space before the colon of length": head + fmt.Sprintf("Content-Length : %d\r\n\r\n", len(inner)) + inner,
		"folded value":                     head + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunked,
		"line end without line feed":       head + "X: y\rTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"null byte":                        head + "X: y\x00\r\n" + length + "\r\n" + inner,
		"no colon":                         head + "Content-Length\r\n\r\n" + inner,
		"two hosts":                        head + "Host: r.example\r\n" + length + "\r\n" + inner,
		"upgrade":                          head + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" + length + "\r\n" + inner,
		"old protocol":                     strings.Replace(head, "1.1", "1.0", 1) + "Connection: keep-alive\r\n" + length + "\r\n" + inner,
		"no protocol":                      "GET " + manifest("v1") + "\r\n\r\n" + inner,
		"a line end in the target":         "GET /v2/\r\nX: " + manifest("v1") + " HTTP/1.1\r\n" + length + "\r\n" + inner,
		"chunk with a line feed only":      head + "Transfer-Encoding: chunked\r\n\r\n0\n\n" + inner,
		"chunk of a huge size":             head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + inner,
	} {
		all := w.send(t, raw)
		if len(all) != 1 || all[0].status < 400 || all[0].status == http.StatusServiceUnavailable {
			t.Errorf("%s: %v", name, all)
		}
	}
	w.untouched(t)
	// HTTP: RFC 9112 5.2, a folded line is part of the one before it: nothing of it says that a body follows.
	if all := w.send(t, head+"X: y\r\n Transfer-Encoding: chunked\r\n\r\n"+chunked); fmt.Sprint(all) != "[200 400 ]" {
		t.Errorf("folded line: %v", all)
	}
	for _, r := range w.settled(t) {
		if r.Tag == "smuggled" {
			t.Errorf("a smuggled request was answered: %+v", r)
		}
	}
	// Requests without bodies may follow each other; what follows one with a body may not.
	last := "GET " + manifest("last") + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	if all := w.send(t, head+"\r\n"+head+"\r\n"+last); fmt.Sprint(all) != "[200 200 403 unsigned_tag]" {
		t.Errorf("three requests in a row: %v", all)
	}
	if all := w.send(t, head+"Content-Length: 5\r\n\r\nhello"+last); fmt.Sprint(all) != "[400 UNSUPPORTED]" {
		t.Errorf("a request after one with a body: %v", all)
	}
}

// forged is what would be a line of its own, and an escape, in a log or on a terminal.
const forged = "x\n{\"time\":\"2026-01-01T00:00:00Z\",\"decision\":\"forged\",\"verdict\":\"allow\"}\r\n\x1b[2J\x1b]0;forged\x07\u202e\u2028\x00\x7f"

// quoted is a string in JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

func injected(t *testing.T) {
	w := newWorld(t, settings{source: "    refresh: 500ms"})
	for _, target := range []string{
		manifest("v1\x1b[2J"), manifest("v1%0a%0d"), manifest("v1\xe2\x80\xae"), "/v2/r.example/a\x1b[2Jpp/manifests/v1", "/v2/x%0a.example/app/manifests/v1",
		manifest("v1") + "?ns=a%0a%7b%22decision%22%3a%22forged%22%7d", manifest("v1") + "?ns=\x1b.example", "/v2/\"},{\"forged\":\"/manifests/v1",
		"/v2/r.example/app/referrers/" + w.good.Digest.String() + "?artifactType=%0aforged",
	} {
		if a := w.say(t, target, "Host: localhost", "User-Agent: \x1b[2J forged", "X-Forged: \t\"}{\""); a.status < 400 {
			t.Errorf("%q: %s", target, a)
		}
	}
	for _, host := range []string{"\x1b[2J", "a\"}{\"b", "x\xe2\x80\xae.example", "a b", "<script>.example", strings.Repeat("h", 9000)} {
		if a := w.say(t, manifest("v1"), "Host: "+host); a.status < 400 {
			t.Errorf("host %q: %s", host, a)
		}
	}
	body := []byte(`{"errors":[{"code":"DENIED","message":` + quoted(forged) + `}]}`)
	for _, f := range []upstreamtest.Fault{
		{Status: 500, Body: body}, {Status: 403, Body: []byte(forged)}, {Status: 404, Body: body}, {Redirect: "https://" + strings.Repeat("x", 5000) + "/"},
		{Redirect: "\x1b://[::1"}, {Header: http.Header{"Content-Type": {"a/b; x=\x1b[2J"}}, Body: []byte(forged)}, {Status: 401, Header: http.Header{"Www-Authenticate": {"Bearer realm=\"\x1b[2J\""}}},
		{Header: http.Header{"Content-Encoding": {"\x1b[2J"}}}, {Body: []byte(`{"mediaType":` + quoted("a/"+forged) + `,"layers":[]}`)},
	} {
		for _, path := range []string{"/v2/app/manifests/" + w.good.Digest.String(), "/v2/app/blobs/" + w.good.Layer.String(), "/v2/app/referrers/" + w.good.Digest.String(),
			"/v2/open/app/tags/list", "/v2/open/app/manifests/v1"} {
			w.up.Fail(path, f)
		}
		for _, target := range []string{manifest("v1"), blob(w.good.Layer), "/v2/r.example/open/app/tags/list", "/v2/r.example/open/app/manifests/v1"} {
			a := w.get(t, target)
			if list := strings.HasSuffix(target, "/list") && strings.Contains(string(a.body), `"tags":[]`); a.status < 400 && !list || strings.ContainsFunc(a.header.Get("Warning"), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%+v: %s: %s, %q", f, target, a, a.header.Get("Warning"))
			}
		}
		w.expect(t, "200", "/v2/r.example/app/referrers/"+w.good.Digest.String())
	}
	for i, raw := range []string{forged, `{"signed":` + quoted(forged) + `}`, `{` + quoted(forged) + `:1}`, `{"signed":{"_type":` + quoted(forged) + `},"signatures":[]}`} {
		w.site.fail(func(rw http.ResponseWriter, _, _ string) bool { _, err := rw.Write([]byte(raw)); return err == nil })
		w.expect(t, "403 metadata_invalid", fmt.Sprintf("/v2/r.example/cold/forged%d/manifests/v1", i))
	}
	w.site.fail(nil)
	for _, line := range w.log(t) {
		if strings.ContainsAny(line, "\x1b\x07\u202e\u2028") || strings.Contains(line, `"decision":"forged"`) {
			t.Errorf("log line %q", line)
		}
	}
	for _, r := range w.settled(t) {
		if r.Decision == "forged" {
			t.Errorf("record %+v", r)
		}
	}
	if raw := w.raw(t); bytes.ContainsAny(raw, "\x1b\x07\u202e\u2028") {
		t.Error("the audit log has an escape in it")
	}
}
