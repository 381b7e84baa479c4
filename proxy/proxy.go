// Package proxy is the door: registry requests in, checked content or a refusal out.
//
// A request walks one way. Package route says what it means, Names say which registry it is about, and a Decider says
// which digest may be served. From there on everything is asked for, cached and checked by digest, along one path that
// tags and digests share. Handlers return errors, and one place writes them.
//
// Nothing that a client sends changes a decision, and nothing that an upstream sends reaches a client but content: every
// header of an answer is made here.
package proxy

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/cache"
	"github.com/tagwarden/tagwarden/proxy/route"
	"github.com/tagwarden/tagwarden/trust"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

const (
	// maxInFlight is how many requests are answered at a time; more are told to come back.
	maxInFlight = 4096
	// idleLimit is how long a client may read nothing of an answer that is for it.
	idleLimit = 60 * time.Second
	// maxPerClient is how many of those one client may have.
	maxPerClient = 1024
	// maxPending is how many questions what tags mean may be under way, or wait, for one registry.
	maxPending = 256
	// maxRemembered is how many digests are remembered, of each of the things that are known about digests.
	maxRemembered = 4096
)

// A Decider says what may be served. *trust.Authority is one. It is safe for concurrent use.
type Decider interface {
	// Open returns the rule of the repository if it lets tags mean what the registry says.
	Open(repository string) (trust.Rule, bool)
	// Decide says what the tag n means, under the given id. There is no error beside it: what cannot be decided is refused.
	Decide(ctx context.Context, id string, n trust.Name) trust.Decision
	// Digest says whether content of the repository may be served that was asked for by its digest.
	Digest(id, repository string, d digest.Digest) trust.Decision
	// Tags returns, sorted by bytes, the tags that Decide would allow. They mean nothing unless the decision allows, and
	// where it is Open they are for the registry to list.
	Tags(ctx context.Context, id, repository string) ([]string, trust.Decision)
}

// An Upstream asks the registries behind the gateway. Repositories are full names. It bounds the time and
// size of what it returns, does not hash it, and is safe for concurrent use.
//
// Its errors match fs.ErrNotExist where the registry says that it does not have the content, fs.ErrPermission where it says
// that we may not have it, and fs.ErrInvalid where its answer cannot be right; any other error means that the registry
// could not be asked.
type Upstream interface {
	// Manifest returns a manifest of at most 4 MiB and the media type under which the registry sent it, "" for none.
	Manifest(ctx context.Context, repository string, d digest.Digest) (body []byte, mediaType string, err error)
	// Blob returns content from offset on, which the caller closes, and the size in bytes of the whole, -1 if unknown.
	Blob(ctx context.Context, repository string, d digest.Digest, offset int64) (body io.ReadCloser, size int64, err error)
	// Referrers returns the index, of at most 4 MiB, of what refers to d; nil for none. Filtered tells whether it holds
	// only what has the artifact type.
	Referrers(ctx context.Context, repository string, d digest.Digest, artifactType string) (index []byte, filtered bool, err error)
	Namer
}

// A Namer asks registries what their tags are, which nobody has signed.
type Namer interface {
	// Resolve returns the digest that a tag means.
	Resolve(ctx context.Context, repository, tag string) (digest.Digest, error)
	// Tags returns the tags of a repository, in any order.
	Tags(ctx context.Context, repository string) ([]string, error)
}

// Options are what a Handler is made of. All fields must be set whose comments do not say what nil, none or 0
// means, but for Observe.
type Options struct {
	Decider  Decider
	Upstream Upstream
	Cache    *cache.Store
	// Names say which registry a request means.
	Names Names
	// Record is told every decision on a tag or manifest, and refused lists of tags, once, before the first byte of the
	// answer leaves. An error means that it could not be recorded and must not be acted on: the client gets 503.
	Record func(Record) error
	// Recordable tells whether Record would take something now; the error is what Record would return. It is asked before an
	// answer whose decision comes later. Nil: it always would.
	Recordable func() error
	// Go runs what goes on beside an answer, or after it: whoever ends the process waits for that before nothing can be
	// recorded any more. Nil: nobody waits.
	Go func(func())
	// Observe is told what metrics and logs want to know. It is called from many goroutines and must not block.
	Observe func(Event)
	// NewID makes the ids of decisions; ids never repeat.
	NewID func() string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Prefetch is told which tags clients use, and fetches with this Handler what they come to mean. Nil: nothing is
	// fetched ahead.
	Prefetch *Prefetch
	// Platforms are those for which it fetches the images of an index, "linux/amd64" or "linux/arm64/v8"; none: all.
	Platforms []string
	// CacheSize is how many bytes the cache may hold, 0 for no bound; an image that is larger than a quarter of that is
	// not fetched ahead.
	CacheSize int64
	// Log gets why something that may be served could not be. Nil: nothing is logged.
	Log *zap.Logger
}

// A Handler answers registry requests. It is safe for concurrent use. Of what clients can make it hold at a time, all is
// bounded: requests, manifests in memory, and questions to each registry.
type Handler struct {
	o     Options
	names compiled
	idle  time.Duration // idleLimit, but for tests

	mu       sync.Mutex
	inFlight int            // requests
	clients  map[string]int // likewise, by client

	large     *semaphore.Weighted // bytes of large manifests in memory
	manifests slots               // questions for manifests, by registry
	referrers slots               // questions for referrers, by registry

	labels  *lru.Cache[digest.Digest, *label]   // of manifests that were inspected
	lengths *lru.Cache[digest.Digest, struct{}] // manifests whose length was reported already
	seconds *lru.Cache[digest.Digest, string]   // SHA-512 of manifests that were signed with one

	meanings *lru.Cache[trust.Name, answered] // what registries said of tags
	asking   singleflight.Group
	pending  slots    // questions what a tag means that are under way or wait for their turn, by registry
	opinions sync.Map // of chan struct{} by source; see opinionsOf

	signed  *lru.Cache[digest.Digest, struct{}]  // what manifests of signed tags name that clients used
	linked  *lru.Cache[digest.Digest, time.Time] // when what such a manifest names was noted
	keeping chan struct{}                        // holds one element for each that is noted now

	denials    *lru.Cache[pull, denial]      // tags that were refused
	cleared    *lru.Cache[suspect, struct{}] // suspicions that were looked into
	suspicions chan struct{}                 // holds one element for each that is looked into
}

// New returns the handler that o describes.
func New(o Options) *Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Recordable == nil {
		o.Recordable = func() error { return nil }
	}
	if o.Go == nil {
		o.Go = func(f func()) { go f() }
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	// The caches fail only for a size below one.
	labels, _ := lru.New[digest.Digest, *label](maxRemembered)
	lengths, _ := lru.New[digest.Digest, struct{}](maxRemembered)
	seconds, _ := lru.New[digest.Digest, string](maxRemembered)
	meanings, _ := lru.New[trust.Name, answered](maxRemembered)
	signed, _ := lru.New[digest.Digest, struct{}](maxSigned)
	linked, _ := lru.New[digest.Digest, time.Time](maxRemembered)
	denials, _ := lru.New[pull, denial](maxRemembered)
	cleared, _ := lru.New[suspect, struct{}](maxRemembered)
	return &Handler{
		o: o, names: o.Names.compile(), idle: idleLimit,
		large:     semaphore.NewWeighted(maxLarge),
		manifests: newSlots(o.Names, maxQuestions), referrers: newSlots(o.Names, maxQuestions),
		labels: labels, lengths: lengths, seconds: seconds, meanings: meanings, denials: denials,
		signed: signed, linked: linked, keeping: make(chan struct{}, maxKeeping),
		cleared: cleared, suspicions: make(chan struct{}, maxSuspicions), pending: newSlots(o.Names, maxPending), clients: make(map[string]int),
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := h.o.Now()
	q, err := route.Parse(r.Method, r.URL)
	defer func() { h.o.Observe(Event{Kind: Answered, Op: q.Kind.String(), Took: h.o.Now().Sub(began)}) }()
	head := w.Header()
	head["Docker-Distribution-Api-Version"] = apiVersion
	head["X-Content-Type-Options"] = noSniff
	if err == nil && hasBody(r) {
		err = &refusal{status: http.StatusBadRequest, code: "UNSUPPORTED", message: "a request for content has no body"}
	}
	if err == nil {
		err = h.admit(w, r, q)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

// Header values that never change, and that nothing must change.
var (
	apiVersion  = []string{"registry/2.0"}
	noSniff     = []string{"nosniff"}
	jsonType    = []string{"application/json"}
	binaryType  = []string{"application/octet-stream"}
	byteRanges  = []string{"bytes"}
	noStore     = []string{"no-store"}
	revalidated = []string{"private, no-cache"}
	immutable   = []string{"private, max-age=31536000, immutable"}
)

// admit answers the request if there is room for one more.
// PRODUCT: invariant 9, requests in flight are bounded, and none waits in a queue.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, q route.Request) error {
	from := client(r)
	if !h.enter(from) {
		return full()
	}
	defer h.leave(from)
	return h.answer(w, r, q)
}

// full returns the answer to a request for which there is no room.
func full() error {
	return &refusal{
		status: http.StatusServiceUnavailable, code: "UNAVAILABLE", retryAfter: 2,
		message: "the gateway answers as many requests as it can take: try again",
	}
}

// enter counts a request of a client, unless there are too many already, or too many of the client's.
func (h *Handler) enter(client string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inFlight >= maxInFlight || h.clients[client] >= maxPerClient {
		return false
	}
	h.inFlight++
	h.clients[client]++
	return true
}

// leave ends what enter has begun.
func (h *Handler) leave(client string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
	if h.clients[client]--; h.clients[client] == 0 {
		delete(h.clients, client)
	}
}

// answer calls the handler of the endpoint. An error means that nothing was written yet.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, q route.Request) error {
	switch q.Kind {
	case route.Version:
		w.Header()["Content-Type"] = jsonType
		h.write(w, r, http.StatusOK, []byte("{}"))
		return nil
	case route.Manifest:
		return h.manifest(w, r, q)
	case route.Blob:
		return h.blob(w, r, q)
	case route.Tags:
		return h.tags(w, r, q)
	case route.Referrers:
		return h.referrersOf(w, r, q)
	}
	return &refusal{status: http.StatusNotFound, code: "UNSUPPORTED", message: "there is no such endpoint"}
}

// decide says whether what q asks for, unless that is a list of tags, may be served. The error means that the request has
// no meaning, so that there was nothing to decide.
func (h *Handler) decide(r *http.Request, q route.Request) (trust.Decision, error) {
	repository, err := h.names.repository(r.Host, q)
	return h.decideOn(r, q, repository, err)
}

// decideOn is decide where it is known already which repository q means, or why it means none.
func (h *Handler) decideOn(r *http.Request, q route.Request, repository string, err error) (trust.Decision, error) {
	switch u, ok := err.(*unknown); {
	case ok:
		return h.unknown(u, q), nil
	case err != nil:
		return trust.Decision{}, err
	case q.Tag != "":
		return h.o.Decider.Decide(r.Context(), h.o.NewID(), trust.Name{Repository: repository, Tag: q.Tag}), nil
	}
	return h.o.Decider.Digest(h.o.NewID(), repository, q.Digest), nil
}

// unknown returns the refusal of a request about a registry that is not known, for which no Decider is asked.
func (h *Handler) unknown(u *unknown, q route.Request) trust.Decision {
	d := trust.Decision{ID: h.o.NewID(), Time: h.o.Now(), Name: trust.Name{Repository: u.name, Tag: q.Tag}}
	return d.Refused(trust.UnknownRegistry, u)
}
