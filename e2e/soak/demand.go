package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
)

// An outcome is what a request came to.
type outcome struct {
	reply
	wrong   error // a promise that the answer breaks
	excused bool  // it is not what is wanted, but something was broken that explains it
	warm    bool  // a tag that must be answered at once
	source  *windows
}

// A kind is one of the things that clients ask for. Out of total, weight requests are of it.
type kind struct {
	name   string
	weight int
	ask    func(c *client, ctx context.Context, r *repository) outcome
}

// kinds are all of them.
func kinds() []kind {
	return []kind{
		{"warm tag", 30, (*client).warmTag},
		{"moving tag", 20, (*client).movingTag},
		{"unsigned tag", 8, (*client).unsignedTag},
		{"HEAD of a tag", 6, (*client).headTag},
		{"list of tags", 4, (*client).listTags},
		{"warm manifest by digest", 6, (*client).warmManifest},
		{"past manifest by digest", 4, (*client).pastManifest},
		{"warm blob", 6, (*client).warmBlob},
		{"range of a warm blob", 4, (*client).rangeOfBlob},
		{"HEAD of a blob", 2, (*client).headBlob},
		{"cold blob", 5, (*client).coldBlob},
		{"blob, left in the middle", 3, (*client).leaveBlob},
		{"blob, read slowly", 2, (*client).slowBlob},
	}
}

func (c *client) warmTag(ctx context.Context, r *repository) outcome {
	o := c.tag(ctx, r, r.fixed, http.MethodGet)
	o.warm, o.source = true, r.fixed.source
	return o
}

func (c *client) movingTag(ctx context.Context, r *repository) outcome {
	return c.tag(ctx, r, r.moving[c.rng.IntN(len(r.moving))], http.MethodGet)
}

func (c *client) headTag(ctx context.Context, r *repository) outcome {
	t := r.fixed
	if i := c.rng.IntN(len(r.moving) + 1); i < len(r.moving) {
		t = r.moving[i]
	}
	return c.tag(ctx, r, t, http.MethodHead)
}

// tag asks for a signed tag. Whatever is broken, it is answered with what it means, unless that has never been fetched.
func (c *client) tag(ctx context.Context, r *repository, t *tag, method string) outcome {
	floor := t.seen()
	o := outcome{reply: c.ask(ctx, request{method: method, path: r.name + "/manifests/" + t.name})}
	said := digest.Digest(o.header.Get("Docker-Content-Digest"))
	switch {
	case o.err != nil:
		return c.broken(o)
	case o.status == http.StatusOK && method == http.MethodGet && said != o.digest:
		o.wrong = fmt.Errorf("the body is %s, and called %s", o.digest, said)
	case o.status == http.StatusOK:
		o.wrong = t.judge(said, floor, o.asked, o.got)
	case o.status == http.StatusForbidden && (method == http.MethodHead || o.reason() == "unsigned_tag"):
		o.wrong = t.judge("", floor, o.asked, o.got)
	case o.status == http.StatusBadGateway && t != r.fixed:
		return c.broken(o, &c.s.w.registry.windows)
	default:
		o.wrong = errors.New("neither what was signed nor a refusal")
	}
	return o
}

// unsignedTag asks for a tag that the registry has, and a stranger has signed.
func (c *client) unsignedTag(ctx context.Context, r *repository) outcome {
	o := outcome{reply: c.ask(ctx, request{path: r.name + "/manifests/" + unsignedTag})}
	switch {
	case o.err != nil:
		return c.broken(o)
	case o.status != http.StatusForbidden || o.reason() != "unsigned_tag":
		o.wrong = errors.New("not refused as unsigned")
	}
	return o
}

// listTags asks for all tags of a repository: those that are signed, and no other.
func (c *client) listTags(ctx context.Context, r *repository) outcome {
	floors := make([]int, len(r.moving))
	for i, t := range r.moving {
		floors[i] = t.seen()
	}
	o := outcome{reply: c.ask(ctx, request{path: r.name + "/tags/list"})}
	if o.err != nil {
		return c.broken(o)
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(o.body, &list); err != nil || o.status != http.StatusOK {
		o.wrong = errors.New("not a list")
		return o
	}
	known := 0
	if slices.Contains(list.Tags, r.fixed.name) {
		known++
	} else {
		o.wrong = errors.New("a signed tag is missing")
	}
	for i, t := range r.moving {
		listed := slices.Contains(list.Tags, t.name)
		if listed {
			known++
		}
		o.wrong = errors.Join(o.wrong, t.judgeListed(listed, floors[i], o.asked, o.got))
	}
	if known != len(list.Tags) {
		o.wrong = errors.Join(o.wrong, fmt.Errorf("a tag that nobody signed is listed: %q", list.Tags))
	}
	return o
}

func (c *client) warmManifest(ctx context.Context, r *repository) outcome {
	return c.whole(ctx, request{path: r.name + "/manifests/" + r.image.Digest.String()}, r.image.Digest, -1, true)
}

func (c *client) pastManifest(ctx context.Context, r *repository) outcome {
	d := r.moving[c.rng.IntN(len(r.moving))].past(c.rng.IntN)
	return c.whole(ctx, request{path: r.name + "/manifests/" + d.String()}, d, -1, false)
}

func (c *client) warmBlob(ctx context.Context, r *repository) outcome {
	return c.whole(ctx, blobOf(r), r.image.Layer, int64(len(r.layer)), true)
}

func (c *client) slowBlob(ctx context.Context, r *repository) outcome {
	q := blobOf(r)
	q.pause = slowPause
	return c.whole(ctx, q, r.image.Layer, int64(len(r.layer)), true)
}

func (c *client) coldBlob(ctx context.Context, r *repository) outcome {
	d, size := c.s.w.cold(r, c.rng)
	defer c.s.w.content.Delete(r.name, d.String())
	return c.whole(ctx, request{path: r.name + "/blobs/" + d.String()}, d, size, false)
}

func (c *client) rangeOfBlob(ctx context.Context, r *repository) outcome {
	from := c.rng.IntN(len(r.layer))
	to := min(len(r.layer), from+1+c.rng.IntN(keptBody))
	q := blobOf(r)
	q.ranged = fmt.Sprintf("bytes=%d-%d", from, to-1)
	o := outcome{reply: c.ask(ctx, q)}
	switch {
	case o.err != nil:
		return c.broken(o)
	case o.status != http.StatusPartialContent || string(o.body) != string(r.layer[from:to]):
		o.wrong = fmt.Errorf("not the bytes of the range %s", q.ranged)
	}
	return o
}

func (c *client) headBlob(ctx context.Context, r *repository) outcome {
	q := blobOf(r)
	q.method = http.MethodHead
	o := outcome{reply: c.ask(ctx, q)}
	switch {
	case o.err != nil:
		return c.broken(o)
	case o.status != http.StatusOK || o.header.Get("Docker-Content-Digest") != r.image.Layer.String() || o.header.Get("Content-Length") != fmt.Sprint(len(r.layer)):
		o.wrong = fmt.Errorf("not the head of the blob: %v", o.header)
	}
	return o
}

// leaveBlob leaves in the middle of a blob, warm or cold. Of what is still arriving a beginning may leave before it is
// verified, so that only the warm one's is looked at.
func (c *client) leaveBlob(ctx context.Context, r *repository) outcome {
	if c.rng.IntN(2) == 0 {
		d, size := c.s.w.cold(r, c.rng)
		defer c.s.w.content.Delete(r.name, d.String())
		o := outcome{reply: c.ask(ctx, request{path: r.name + "/blobs/" + d.String(), leave: size / 4})}
		switch {
		case o.err != nil || o.status == http.StatusBadGateway:
			return c.broken(o, &c.s.w.registry.windows)
		case o.status != http.StatusOK || o.size < size/4:
			o.wrong = errors.New("neither the beginning of the blob nor an outage")
		}
		return o
	}
	q := blobOf(r)
	q.leave = 1 + int64(len(r.layer)/2)
	o := outcome{reply: c.ask(ctx, q)}
	switch {
	case o.err != nil:
		return c.broken(o)
	case o.status != http.StatusOK || o.size < q.leave || string(o.body) != string(r.layer[:len(o.body)]):
		o.wrong = errors.New("not the beginning of the blob")
	}
	return o
}

// blobOf asks for the layer of the fixed tag.
func blobOf(r *repository) request {
	return request{path: r.name + "/blobs/" + r.image.Layer.String()}
}

// whole asks for content by its digest. What is kept is answered whatever is broken; other content is, unless the registry
// is. Content that arrives complete is right, always.
func (c *client) whole(ctx context.Context, q request, d digest.Digest, size int64, kept bool) outcome {
	o := outcome{reply: c.ask(ctx, q)}
	switch {
	case o.err == nil && o.status == http.StatusOK:
		if o.digest != d || size >= 0 && o.size != size {
			o.wrong = fmt.Errorf("the body is not %s", d)
		}
	case kept && o.err == nil:
		o.wrong = errors.New("not served, though it was kept")
	case kept:
		return c.broken(o)
	case o.err != nil || o.status == http.StatusBadGateway:
		return c.broken(o, &c.s.w.registry.windows)
	default:
		o.wrong = errors.New("neither the content nor an outage")
	}
	return o
}

// broken excuses an answer that failed while the gateway was down, or while something was broken that it needs.
func (c *client) broken(o outcome, needs ...*windows) outcome {
	for _, w := range append(needs, &c.s.g.down) {
		if w.touches(o.asked, o.got) {
			o.excused = true
			return o
		}
	}
	o.wrong = errors.New("failed, and nothing was broken that explains it")
	return o
}
