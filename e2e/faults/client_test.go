package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// An answer is one whole answer of the gateway.
type answer struct {
	status int
	body   []byte
}

// get asks the registry port. The error is that of an answer that did not come, or not whole.
func (g *gateway) get(path string) (answer, error) {
	res, err := g.client.Get("http://" + g.addr + path)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, body}, err
}

// String is "200 DIGEST", or the status with the reason of a refusal.
func (a answer) String() string {
	if a.status == http.StatusOK {
		return "200 " + digest.FromBytes(a.body).String()
	}
	var doc struct {
		Errors []struct {
			Message string
			Detail  struct{ Reason string }
		}
	}
	if json.Unmarshal(a.body, &doc) != nil || len(doc.Errors) != 1 || doc.Errors[0].Message == "" || strings.ContainsAny(doc.Errors[0].Message, "\r\n") {
		return fmt.Sprintf("%d with no message of one line: %q", a.status, a.body)
	}
	return fmt.Sprintf("%d %s", a.status, doc.Errors[0].Detail.Reason)
}

// manifest asks for a tag or digest of an image.
func (g *gateway) manifest(t *testing.T, image, reference string) answer {
	t.Helper()
	a, err := g.get("/v2/" + image + "/manifests/" + reference)
	if err != nil {
		t.Fatalf("%s:%s: %v", image, reference, err)
	}
	return a
}

// operator asks the admin port.
func (g *gateway) operator(t *testing.T, path string) answer {
	t.Helper()
	res, err := g.client.Get("http://" + g.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, body}
}

// metrics returns every time series by its name, labels included.
func (g *gateway) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for lines := bufio.NewScanner(strings.NewReader(string(g.operator(t, "/metrics").body))); lines.Scan(); {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && lines.Text()[0] != '#' {
			n, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			all[lines.Text()[:i]] = n
		}
	}
	return all
}

// security returns how many security events of a kind there were since the start.
func (g *gateway) security(t *testing.T, kind string) int {
	t.Helper()
	return int(g.metrics(t)[fmt.Sprintf("tagwarden_security_events_total{kind=%q}", kind)])
}

// refreshes returns how many refreshes of the source came to a result since the start.
func (g *gateway) refreshes(t *testing.T, result string) int {
	t.Helper()
	return int(g.metrics(t)[fmt.Sprintf("tagwarden_source_refresh_total{result=%q,source=\"corp\"}", result)])
}
