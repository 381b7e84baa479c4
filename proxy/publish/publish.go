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
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	// Prefix begins the paths of published files: /tuf/<source>/<file>.
	Prefix = "/tuf/"
	// maxFile is the most bytes of a file, read or written: that of a targets file.
	maxFile = 16 << 20
	// maxAtOnce bounds how many files are taken in at a time, in all and from one client.
	maxAtOnce, maxPerClient = 8, 2
	// burst files may come from one client at once, and then one in every pause.
	burst, pause = 32, time.Second
	// bodyTime is how long a client may take to send a file, or to read one.
	bodyTime = 60 * time.Second
	// maxClients is how many clients are remembered.
	maxClients = 4096
	// maxMessage is the most bytes that an answer says about a file.
	maxMessage = 1024
)

// ErrConflict is the error of a file that is not of the very next version: somebody else was faster.
var ErrConflict = errors.New("not the next version")

// A Repository is one that is published. It is safe for concurrent use.
type Repository interface {
	// Fetch implements trust.Source.
	Fetch(ctx context.Context, file string, limit int64) ([]byte, error)
	// Put takes a newly signed file and publishes it. The error matches ErrConflict for a file that is not of the very next
	// version, and is a *trust.Refusal for one that is not right; anything else is a fault of the gateway's.
	Put(ctx context.Context, file string, data []byte) error
}

// A Handler serves repositories by the name of their source. It is safe for concurrent use.
type Handler struct {
	repositories map[string]Repository
	log          *zap.Logger
	inFlight     *semaphore.Weighted
	clients      *lru.Cache[string, *client]
}

// A client is what is known about one address that publishes.
type client struct {
	pace     *rate.Limiter
	inFlight *semaphore.Weighted
}

// New returns the handler of the repositories. What is published and what is refused goes to the log.
func New(repositories map[string]Repository, log *zap.Logger) *Handler {
	clients, _ := lru.New[string, *client](maxClients) // fails only for a size below one
	return &Handler{repositories: repositories, log: log, inFlight: semaphore.NewWeighted(maxAtOnce), clients: clients}
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

func (h *Handler) get(w http.ResponseWriter, r *http.Request, repository Repository, file string) {
	data, err := repository.Fetch(r.Context(), file, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fail(w, r, http.StatusNotFound, "BLOB_UNKNOWN", file+" does not exist")
		return
	case err != nil:
		h.log.Error("published file not read", zap.String("file", file), zap.Error(err))
		fail(w, r, http.StatusServiceUnavailable, "UNAVAILABLE", "the file cannot be read; the gateway's log says why")
		return
	}
	// No deadline for a connection of this kind is no concern.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bodyTime))
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.Itoa(len(data)))
	head.Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // only a client that has left fails here
	}
}

// put takes in a file. PRODUCT: invariant 9, all of it is bounded: size, time, and what one client can have of them.
func (h *Handler) put(w http.ResponseWriter, r *http.Request, repository Repository, source, file string) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	leave, ok := h.enter(address)
	if !ok {
		w.Header().Set("Retry-After", "5")
		fail(w, r, http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many files are being published: try again in some seconds")
		return
	}
	defer leave()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // as in get
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFile))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, r, http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("%s has more than %d bytes", file, maxFile))
		return
	case err != nil:
		fail(w, r, http.StatusBadRequest, "UNSUPPORTED", file+" did not arrive whole")
		return
	}
	// What has begun is not given up because a client leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), bodyTime)
	defer cancel()
	err = repository.Put(ctx, file, data)
	fields := []zap.Field{zap.String("source", source), zap.String("file", file), zap.String("client", address)}
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

// enter takes a client's place among those that publish, and returns how to leave it.
func (h *Handler) enter(address string) (leave func(), ok bool) {
	c, known := h.clients.Get(address)
	if !known {
		c = &client{rate.NewLimiter(rate.Every(pause), burst), semaphore.NewWeighted(maxPerClient)}
		if first, raced, _ := h.clients.PeekOrAdd(address, c); raced {
			c = first
		}
	}
	if !c.inFlight.TryAcquire(1) {
		return nil, false
	}
	if !c.pace.Allow() || !h.inFlight.TryAcquire(1) {
		c.inFlight.Release(1)
		return nil, false
	}
	return func() { h.inFlight.Release(1); c.inFlight.Release(1) }, true
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
