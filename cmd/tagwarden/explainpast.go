package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/tagwarden/tagwarden/config"
)

// explainPast prints the line of the audit log that records a decision.
func explainPast(cfg *config.Config, id string, w io.Writer) error {
	if cfg.Audit.File == "" {
		return errors.New("explain: audit.file is not configured: look for the id in what the gateway has written to standard output")
	}
	f, err := os.Open(cfg.Audit.File)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ Decision string }
		if !bytes.Contains(lines.Bytes(), []byte(id)) || json.Unmarshal(lines.Bytes(), &r) != nil || r.Decision != id {
			continue
		}
		var out bytes.Buffer
		if err := json.Indent(&out, lines.Bytes(), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "%s\n", out.Bytes())
		return err
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("explain: %s: %w", cfg.Audit.File, err)
	}
	return fmt.Errorf("explain: %s has no decision %s: look in the files it was rotated to", cfg.Audit.File, id)
}

// askRunning asks a running gateway, which answers from what it holds.
func askRunning(ctx context.Context, admin, image string) (explanation, error) {
	base, err := url.Parse(admin)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return explanation{}, usageError{fmt.Errorf("explain: --admin %.200q is no http or https URL", admin)}
	}
	u := base.JoinPath("api", "explain")
	u.RawQuery = url.Values{"image": {image}}.Encode()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return explanation{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return explanation{}, fmt.Errorf("explain: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return explanation{}, fmt.Errorf("explain: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return explanation{}, fmt.Errorf("explain: %s answers %d: %.300q", u.Redacted(), res.StatusCode, body)
	}
	var e explanation
	return e, json.Unmarshal(body, &e)
}

// serveExplain answers GET /api/explain?image=IMAGE on the admin port.
func (g *gateway) serveExplain(w http.ResponseWriter, r *http.Request) {
	now := g.current.Load()
	e, err := explainer{now.cfg, now.decider, now.registries}.explain(r.Context(), r.URL.Query().Get("image"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that has left is the only way to fail.
	_ = json.NewEncoder(w).Encode(e)
}
