package proxy

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

// manifest answers a request for a manifest, by tag or by digest, GET or HEAD: all of them take this way.
// OCI: end-3
func (h *Handler) manifest(w http.ResponseWriter, r *http.Request, q route.Request) error {
	repository, err := h.names.repository(r.Host, q)
	if err == nil && q.Tag != "" {
		if rule, ok := h.o.Decider.Open(repository); ok {
			return h.openManifest(w, r, q, repository, rule)
		}
	}
	d, err := h.decideOn(r, q, repository, err)
	if err != nil {
		return err
	}
	w.Header()["Tagwarden-Decision"] = []string{d.ID}
	var m manifest
	target, ok := d.Admit()
	var absent error // the registry does not have it
	gone := false    // the client has left
	if ok {
		m, err = h.content(r.Context(), client(r), d.Name.Repository, target.Digest)
		if missing(err) && q.Tag == "" {
			absent, err = err, nil
		}
		if gone = err != nil && r.Context().Err() != nil; !gone && absent == nil {
			d = h.judge(d, target, m, err)
		}
	}
	defer m.release()
	var served digest.Digest
	if _, ok = d.Admit(); ok && m.label != nil {
		served = target.Digest
	}
	if err := h.record(r, q, d, served); err != nil {
		return h.unrecorded(d, err)
	}
	if q.Tag == "" {
		h.suspect(r, d.Name.Repository, q.Digest)
		if served != "" && h.signed.Contains(served) {
			h.keep(d.Name.Repository, served, m)
		}
	} else if ok {
		h.forgive(r, d.Name)
		h.inUse(d, target.Digest, m)
	} else if around(d) {
		h.remember(r, d)
	}
	switch {
	case !ok:
		return h.refused(d, q)
	case absent != nil:
		return &refusal{
			status: http.StatusNotFound, code: "MANIFEST_UNKNOWN",
			message: fmt.Sprintf("%s@%s: %s", d.Name.Repository, q.Digest, oneLine(absent.Error())),
		}
	case gone:
		panic(http.ErrAbortHandler) // nobody is there to answer
	}
	h.writeManifest(w, r, q, m)
	return nil
}

// judge returns the decision as it stands when the content is known: in hand, or not to be had.
func (h *Handler) judge(d trust.Decision, target trust.Target, m manifest, err error) trust.Decision {
	switch {
	case missing(err):
		return d.Refused(trust.SignedDigestGone, err)
	case err != nil:
		return d.Refused(failure(err), err)
	// What was signed is the type as well, where a type was signed.
	case target.MediaType != "" && target.MediaType != m.mediaType:
		return d.Refused(trust.MediaTypeMismatch, mismatch("is of media type %q, but was signed as %q", m.mediaType, target.MediaType))
	// TUF: 5.7.3, a target is what has every length and hash that were signed.
	case target.Exact && target.Size != m.size:
		return d.Refused(trust.LengthMismatch, fmt.Errorf("%s has %d bytes, but %d were signed", target.Digest, m.size, target.Size))
	case target.SHA512 != "" && !h.hasToo(target, m):
		return d.Refused(trust.MetadataInvalid, fmt.Errorf("%s does not have the SHA-512 that was signed beside it", target.Digest))
	}
	// PRODUCT: section 4, a length that differs is only noted for Notary, whose signers write what they like there.
	if target.Size > 0 && target.Size != m.size {
		if known, _ := h.lengths.ContainsOrAdd(target.Digest, struct{}{}); !known {
			err := fmt.Errorf("%s: %s has %d bytes, but %d were signed", d.Name, target.Digest, m.size, target.Size)
			h.o.Observe(Event{Kind: LengthDiffers, Op: route.Manifest.String(), Err: err})
		}
	}
	return d
}

// hasToo tells whether the manifest has the second hash that was signed with its digest. What was found is remembered.
func (h *Handler) hasToo(target trust.Target, m manifest) bool {
	found, ok := h.seconds.Get(target.Digest)
	if !ok {
		hash := sha512.New()
		if m.content == nil {
			hash.Write(m.body)
		} else if err := rewound(hash, m); err != nil {
			return false
		}
		found = hex.EncodeToString(hash.Sum(nil))
		h.seconds.Add(target.Digest, found)
	}
	return found == target.SHA512
}

// rewound copies the content of a large manifest, which can be read from its beginning afterwards.
func rewound(w io.Writer, m manifest) error {
	if _, err := io.CopyN(w, m.content, m.size); err != nil {
		return err
	}
	_, err := m.content.Seek(0, io.SeekStart)
	return err
}

// refused returns the answer to a refused request for a manifest.
func (h *Handler) refused(d trust.Decision, q route.Request) error {
	x := denied(d)
	if x.status >= http.StatusInternalServerError {
		h.o.Log.Warn("not served", zap.String("decision", d.ID), zap.Stringer("name", d.Name),
			zap.String("digest", q.Digest.String()), zap.String("reason", string(d.Reason)), zap.Error(d.Err))
	}
	// PRODUCT: section 4, a signature that is not there is nothing wrong: podman and CRI-O give up the pull on 403.
	if attachment(q.Tag) && (d.Reason == trust.UnsignedTag || d.Reason == trust.NoTrustData) {
		x.status, x.code = http.StatusNotFound, "MANIFEST_UNKNOWN"
	}
	return x
}

// attachment tells whether a tag is of the shape under which signatures and referrers are looked for: sha256-<hex>, alone
// or followed by a suffix.
func attachment(tag string) bool {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	return ok && len(hex) >= 64 && strings.Trim(hex[:64], "0123456789abcdef") == "" && (len(hex) == 64 || len(hex) > 65 && hex[64] == '.')
}

// writeManifest sends the manifest, or 304 to a client that has it. Both come after the decision.
func (h *Handler) writeManifest(w http.ResponseWriter, r *http.Request, q route.Request, m manifest) {
	head := w.Header()
	head["Docker-Content-Digest"] = m.digest
	head["Etag"] = m.etag
	head["Cache-Control"] = revalidated
	if q.Tag == "" {
		head["Cache-Control"] = immutable
	}
	if matches(r.Header.Values("If-None-Match"), m.etag[0]) {
		h.extend(w)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head["Content-Type"] = m.contentType
	head["Content-Length"] = m.length
	h.extend(w)
	w.WriteHeader(http.StatusOK)
	switch {
	case r.Method == http.MethodHead:
	case m.content == nil:
		_, _ = w.Write(m.body)
	default:
		_, _ = io.CopyN(w, m.content, m.size) // short only for a client that has left, or a disk that fails: the length tells
	}
}

// matches tells whether a client's If-None-Match names the etag. Our own hold no comma and no space.
// HTTP: RFC 9110 13.1.2, "*" or a list of entity tags, compared weakly.
func matches(header []string, etag string) bool {
	for _, line := range header {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
