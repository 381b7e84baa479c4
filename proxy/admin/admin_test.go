package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHandler(t *testing.T) {
	var broken error
	ready := func() map[string]error { return map[string]error{"config": nil, "state": broken} }
	h := Handler(ready, NewMetrics(MetricsOptions{}), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		method, path string
		broken       error
		status       int
		body         string
	}{
		{"GET", "/livez", nil, 200, `{"status":"ok"}`},
		{"GET", "/livez", errors.New("disk full"), 200, `{"status":"ok"}`},
		{"GET", "/readyz", nil, 200, `{"status":"ready","checks":{"config":"ok","state":"ok"}}`},
		{"GET", "/readyz", errors.New("disk full"), 503, `{"status":"not ready","checks":{"config":"ok","state":"disk full"}}`},
		{"HEAD", "/readyz", errors.New("disk full"), 503, ""},
		{"HEAD", "/livez", nil, 200, ""},
		{"POST", "/livez", nil, 405, ""}, {"DELETE", "/metrics", nil, 405, ""},
		{"GET", "/api/explain?image=nginx", nil, 418, ""}, {"POST", "/api/explain", nil, 405, ""},
		{"GET", "/", nil, 404, ""}, {"GET", "/v2/", nil, 404, ""}, {"GET", "/debug/pprof/", nil, 404, ""}, {"GET", "/livez/x", nil, 404, ""},
	} {
		broken = c.broken
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s %s: %d", c.method, c.path, w.Code)
		}
		if c.method == "GET" && c.body != "" && (w.Body.String() != c.body+"\n" || !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json") {
			t.Errorf("%s: %v %s", c.path, w.Header(), w.Body)
		}
	}
}
