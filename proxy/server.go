package proxy

import (
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Server returns a server for h, registry API or admin pages, with limits on what clients may send and how long they may
// take for it. There is none on how long an answer takes: h has to cut clients that do not take theirs. HTTP/2 comes with
// TLS. What the server says about single connections goes to the log for debugging.
func Server(h http.Handler, log *zap.Logger) *http.Server {
	l, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		l = zap.NewStdLog(zap.NewNop()) // never: the level exists
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          l,
		// OPTIONS * is answered as any other method is.
		DisableGeneralOptionsHandler: true,
		// PRODUCT: invariant 9, a stream that a client does not read is reset at its deadline; but when nothing at all can be
		// written to the client, that cannot be either, and the connection is cut.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 128, WriteByteTimeout: idleLimit},
	}
}
