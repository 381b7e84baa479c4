package publish

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Bounds on what is under way at the same time, in all and for one client.
const (
	// maxReaders files are being read, and maxReadersOfOne by one client.
	maxReaders, maxReadersOfOne = 256, 32
	// maxBytes of files have arrived that are not dealt with yet, and maxBytesOfOne from one client.
	maxBytes, maxBytesOfOne = 32 << 20, 8 << 20
	// maxTaken files are being published, and maxTakenOfOne of one client.
	maxTaken, maxTakenOfOne = 8, 2
	// burst files may come from one client at once, and then one in every pause.
	burst, pause = 32, time.Second
	// maxClients is how many clients are remembered.
	maxClients = 4096
)

// A share is what may be under way at the same time.
type share struct{ readers, bytes, taken *semaphore.Weighted }

func newShare(readers, bytes, taken int64) *share {
	return &share{semaphore.NewWeighted(readers), semaphore.NewWeighted(bytes), semaphore.NewWeighted(taken)}
}

// A client is what is known about one address, and what it may have.
type client struct {
	*share
	pace *rate.Limiter
}

// client returns what is known about who asks.
func (h *Handler) client(r *http.Request) *client {
	key := origin(hostOf(r))
	if c, known := h.clients.Get(key); known {
		return c
	}
	c := &client{newShare(maxReadersOfOne, maxBytesOfOne, maxTakenOfOne), rate.NewLimiter(rate.Every(pause), burst)}
	if first, raced, _ := h.clients.PeekOrAdd(key, c); raced {
		return first
	}
	return c
}

// hostOf returns the address that a request comes from, without its port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// origin returns what clients are told apart by: the address, of which IPv6 gives everybody 2^64.
func origin(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// enter takes n of what one client, and of what all, may have, and returns how to give them back.
func enter(own, all *semaphore.Weighted, n int64) (leave func(), ok bool) {
	if !own.TryAcquire(n) {
		return nil, false
	}
	if !all.TryAcquire(n) {
		own.Release(n)
		return nil, false
	}
	return func() { all.Release(n); own.Release(n) }, true
}
