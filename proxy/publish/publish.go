// Package publish serves signed repositories under /tuf/, and takes newly signed files for them.
//
// Reading needs no permission: what is published is signed, and made to be read. Writing needs none either but the
// signature: the repository takes a file only if those who may change it have signed it. So all that is left to guard here
// is the gateway itself, whose time, memory and disk a stranger must not use up.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
)

const (
	// Prefix begins the paths of published files: /tuf/<source>/<file>.
	Prefix = "/tuf/"
	// maxFile is the most bytes of a file that is taken in.
	maxFile = 4 << 20
	// takeTime is how long a file that has arrived may take: to get a place, and again to be published.
	takeTime = 60 * time.Second
	// maxMessage is the most bytes that an answer says about a file.
	maxMessage = 1024
)

// ErrConflict is the error of a file that is not of the very next version: somebody else was faster.
var ErrConflict = errors.New("not the next version")

// A Repository is one that is published. It is safe for concurrent use.
type Repository interface {
	// Open returns a published file, which the caller reads and closes, and its size in bytes. The error matches
	// fs.ErrNotExist where there is none.
	Open(ctx context.Context, file string) (io.ReadCloser, int64, error)
	// Put takes a newly signed file and publishes it. The error matches ErrConflict for a file that is not of the very next
	// version, and is a *trust.Refusal for one that is not right; anything else is a fault of the gateway's.
	Put(ctx context.Context, file string, data []byte) error
}

// A Handler serves repositories by the name of their source. It is safe for concurrent use.
type Handler struct {
	repositories map[string]Repository
	log          *zap.Logger
	all          *share // of what all clients have
	clients      *lru.Cache[string, *client]
}

// New returns the handler of the repositories. What is published and what is refused goes to the log.
func New(repositories map[string]Repository, log *zap.Logger) *Handler {
	clients, _ := lru.New[string, *client](maxClients) // fails only for a size below one
	return &Handler{repositories: repositories, log: log, all: newShare(maxReaders, maxBytes, maxTaken), clients: clients}
}

// fileForm is what a published file is called: the role's name has every character escaped that a path could not hold.
var fileForm = regexp.MustCompile(`^(timestamp|[1-9][0-9]{0,15}\.[A-Za-z0-9._~$&+:=@%-]{1,400})\.json$`)

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	source, file, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	repository, ok := h.repositories[source]
	if !ok || !fileForm.MatchString(file) {
		fail(w, r, http.StatusNotFound, "NAME_UNKNOWN", "nothing is published here: ask for "+Prefix+"<source>/<file> of a source with publish")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.get(w, r, repository, file)
	case http.MethodPut:
		h.put(w, r, repository, source, file)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		fail(w, r, http.StatusMethodNotAllowed, "UNSUPPORTED", "published files are read by GET and HEAD, and written by PUT")
	}
}

// get sends a file from where it lies, so that readers who take their time hold no memory.
func (h *Handler) get(w http.ResponseWriter, r *http.Request, repository Repository, file string) {
	leave, ok := enter(h.client(r).readers, h.all.readers, 1)
	if !ok {
		busy(w, r, "too many files are being read")
		return
	}
	defer leave()
	body, size, err := repository.Open(r.Context(), file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fail(w, r, http.StatusNotFound, "BLOB_UNKNOWN", file+" does not exist")
		return
	case err != nil:
		h.log.Error("published file not read", zap.String("file", file), zap.Error(err))
		fail(w, r, http.StatusServiceUnavailable, "UNAVAILABLE", "the file cannot be read; the gateway's log says why")
		return
	}
	defer body.Close()
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.FormatInt(size, 10))
	head.Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		send(w, body, size)
	}
}

// put takes in a file. PRODUCT: invariant 9, all of it is bounded: size, time, and what one client can have of them.
func (h *Handler) put(w http.ResponseWriter, r *http.Request, repository Repository, source, file string) {
	c := h.client(r)
	if !c.pace.Allow() {
		busy(w, r, "too many files are being published")
		return
	}
	b := arrival{own: c.bytes, all: h.all.bytes}
	defer b.forget()
	switch err := b.receive(w, r); {
	case errors.Is(err, errLarge):
		fail(w, r, http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("%s has more than %d bytes: let more signers share the repositories", file, maxFile))
		return
	case errors.Is(err, errFull):
		busy(w, r, "too many files are being published")
		return
	case err != nil:
		fail(w, r, http.StatusBadRequest, "UNSUPPORTED", fmt.Sprintf("%s did not arrive whole, or slower than %d bytes in %s", file, pieceSize, pieceTime))
		return
	}
	waiting, cancel := context.WithTimeout(r.Context(), takeTime)
	defer cancel()
	if !c.taken.TryAcquire(1) {
		busy(w, r, "too many files are being published")
		return
	}
	defer c.taken.Release(1)
	// A place is for who has sent a whole file: nobody keeps it by sending slowly.
	if h.all.taken.Acquire(waiting, 1) != nil {
		busy(w, r, "too many files are being published")
		return
	}
	defer h.all.taken.Release(1)
	h.take(w, r, repository, source, file, b.whole())
}

// take has the repository publish the file. What has begun is not given up because a client leaves.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, repository Repository, source, file string, data []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), takeTime)
	defer cancel()
	err := repository.Put(ctx, file, data)
	fields := []zap.Field{zap.String("source", source), zap.String("file", file), zap.String("client", hostOf(r))}
	var refusal *trust.Refusal
	switch {
	case err == nil:
		h.log.Info("published", fields...)
		w.WriteHeader(http.StatusCreated)
	case errors.Is(err, ErrConflict):
		fail(w, r, http.StatusConflict, "CONFLICT", file+": "+err.Error())
	case errors.As(err, &refusal):
		h.log.Warn("publication refused", append(fields, zap.String("reason", string(refusal.Reason)), zap.Error(err))...)
		fail(w, r, http.StatusForbidden, "DENIED", fmt.Sprintf("%s is refused: %v [%s]", file, err, refusal.Reason))
	default:
		h.log.Error("publication failed", append(fields, zap.Error(err))...)
		fail(w, r, http.StatusServiceUnavailable, "UNAVAILABLE", "the file could not be published; the gateway's log says why")
	}
}

// busy answers a client who has, or where all have, as much as they can have at a time.
func busy(w http.ResponseWriter, r *http.Request, why string) {
	w.Header().Set("Retry-After", "5")
	fail(w, r, http.StatusTooManyRequests, "TOOMANYREQUESTS", why+": try again in some seconds")
}

// fail answers as the registry API does, so that a program has one form of error to read.
func fail(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Connection", "close") // a body that was not read is no request
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		type entry struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		_ = json.NewEncoder(w).Encode(map[string][]entry{"errors": {{code, message[:min(len(message), maxMessage)]}}}) // as in get
	}
}
