package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// blob answers a request for a blob: from the cache, or as it arrives.
// OCI: end-2
func (h *Handler) blob(w http.ResponseWriter, r *http.Request, q route.Request) error {
	d, err := h.decide(r, q)
	if err != nil {
		return err
	}
	// PRODUCT: section 4, a digest passes under every rule but deny.
	target, ok := d.Admit()
	if !ok {
		return denied(d)
	}
	// Small content is mostly in memory, and nothing has to be made ready to ask for it.
	if b, err := h.o.Cache.Get(target.Digest); err == nil && b.Size() > 0 && b.Size() <= cache.Small {
		if small, err := b.Bytes(r.Context(), cache.Small); err == nil {
			h.looked(route.Blob, true)
			h.markSigned(target.Digest)
			h.sendSmall(w, r, target.Digest, small)
			return nil
		}
	}
	size := int64(-1)
	var small []byte // all of it, where it is small and here
	var content io.ReadSeekCloser
	mine, err := h.bring(r.Context(), target.Digest, h.blobOrigin(client(r), d.Name.Repository, target.Digest), func(b *cache.Blob) (err error) {
		if size = b.Size(); size > 0 && size <= cache.Small && b.Complete() {
			small, err = b.Bytes(r.Context(), cache.Small)
			return err
		}
		content, err = open(r, b)
		return err
	})
	if err == nil {
		h.markSigned(target.Digest)
	}
	switch {
	case err == nil && small != nil:
		h.sendSmall(w, r, target.Digest, small)
		return nil
	case err == nil:
		defer content.Close()
		err = h.send(w, r, target.Digest, size, content)
		if err == nil {
			return nil
		}
		h.lost(r, d, target.Digest, err)
		h.accuse(mine, route.Blob, err)
		// PRODUCT: invariant 3, what does not become complete must not look it.
		panic(http.ErrAbortHandler)
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to answer
	case missing(err):
		return &refusal{
			status: http.StatusNotFound, code: "BLOB_UNKNOWN",
			message: fmt.Sprintf("%s@%s: %s", d.Name.Repository, target.Digest, oneLine(err.Error())),
		}
	}
	h.lost(r, d, target.Digest, err)
	h.accuse(mine, route.Blob, err)
	return denied(d.Refused(failure(err), err))
}

// blobOrigin returns where a blob of the repository comes from.
func (h *Handler) blobOrigin(who, repository string, d digest.Digest) origin {
	return origin{route.Blob, repository, who, func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		return h.o.Upstream.Blob(ctx, repository, d, offset)
	}}
}

// open opens content for an answer. For GET it waits for the first byte that may leave, because until then the answer may
// still be an error: all of a small blob is verified by then.
func open(r *http.Request, b *cache.Blob) (io.ReadSeekCloser, error) {
	content, err := b.Open(r.Context())
	if err != nil {
		return nil, err
	}
	if _, complete := content.(*os.File); complete || r.Method == http.MethodHead {
		return content, nil
	}
	var first [1]byte
	_, err = content.Read(first[:])
	if err == nil || err == io.EOF {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		content.Close()
		return nil, err
	}
	return content, nil
}

// lost tells the operator why a blob could not be sent, since there is no record of it. A client that has left is no news.
func (h *Handler) lost(r *http.Request, d trust.Decision, dgst digest.Digest, err error) {
	if r.Context().Err() != nil {
		return
	}
	h.o.Log.Warn("not served", zap.String("decision", d.ID), zap.Stringer("name", d.Name), zap.String("digest", dgst.String()),
		zap.String("reason", string(failure(err))), zap.Error(err))
}

// sendSmall writes the answer from memory.
func (h *Handler) sendSmall(w http.ResponseWriter, r *http.Request, d digest.Digest, content []byte) {
	describe(w.Header(), d)
	w.Header()["Accept-Ranges"] = byteRanges
	for _, name := range conditions {
		if len(r.Header[name]) > 0 {
			h.extend(w)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
	}
	h.write(w, r, http.StatusOK, content)
}

// conditions are the headers of requests that ask for a part of content, or for it under a condition.
var conditions = [...]string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

// describe sets the headers that every answer with a blob has.
func describe(head http.Header, d digest.Digest) {
	values := [...]string{d.String(), quoted(d)}
	head["Docker-Content-Digest"], head["Etag"] = values[:1:1], values[1:]
	head["Content-Type"] = binaryType
	head["Cache-Control"] = immutable
}

// quoted returns the entity tag of content.
func quoted(d digest.Digest) string { return `"` + d.String() + `"` }

// send writes the answer. The error is that of content which failed after the answer had begun.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, d digest.Digest, size int64, content io.ReadSeekCloser) error {
	head := w.Header()
	describe(head, d)
	h.extend(w)
	if file, complete := content.(*os.File); complete {
		head["Accept-Ranges"] = byteRanges
		// The file and the server's own ResponseWriter, with nothing around either: that is what makes it sendfile.
		stop := h.whileItMoves(w, file)
		defer stop()
		http.ServeContent(w, r, "", time.Time{}, file)
		return nil
	}
	f := &following{ReadSeeker: content, extend: func() { h.extend(w) }}
	if size >= 0 {
		head["Accept-Ranges"] = byteRanges
		http.ServeContent(w, r, "", time.Time{}, f)
		return f.err
	}
	// HTTP: RFC 9112 6.3, to a client of 1.0 an answer without a length ends with the connection, however it ends.
	if !r.ProtoAtLeast(1, 1) {
		if _, err := io.Copy(io.Discard, f); err != nil {
			return f.err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	// Without a size there are no ranges, and without them the whole is a right answer to any of them.
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(flusher{w, http.NewResponseController(w)}, f); err != nil && f.err == nil {
		return nil // the client has left
	}
	return f.err
}
