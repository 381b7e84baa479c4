// Package admin serves health, metrics and the status page.
//
// It listens apart from the registry API, for operators only: what it tells must not reach those who pull.
package admin

import (
	"encoding/json"
	"net/http"
)

// Handler serves GET and HEAD of
//
//   - /livez: 200 as long as the process answers at all;
//   - /readyz: 200 when no check of ready fails, else 503; either way JSON that says which do and why. Trust data is no
//     part of it: a gateway without any refuses correctly, and restarting it would not help;
//   - /metrics: m in the Prometheus format;
//   - /api/explain: what explain says.
//
// Everything else is 404 or 405. Ready is called for every request, possibly by several at once, and returns each check
// by its name, with nil for one that passes.
func Handler(ready func() map[string]error, m *Metrics, explain http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok", nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { readyz(w, ready()) })
	mux.Handle("GET /metrics", m.handler())
	mux.HandleFunc("GET /api/explain", explain)
	return mux
}

// readyz answers with the outcome of the checks.
func readyz(w http.ResponseWriter, checks map[string]error) {
	status, word := http.StatusOK, "ready"
	detail := make(map[string]string, len(checks))
	for name, err := range checks {
		detail[name] = "ok"
		if err != nil {
			status, word = http.StatusServiceUnavailable, "not ready"
			detail[name] = err.Error()
		}
	}
	answer(w, status, word, detail)
}

// answer writes one JSON object.
func answer(w http.ResponseWriter, status int, word string, checks map[string]string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A client that has left is the only way to fail, and nobody is left to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks,omitempty"`
	}{word, checks})
}
