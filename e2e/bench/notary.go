package main

import (
	"net/http"
	"time"

	"github.com/tagwarden/tagwarden/trust/trusttest"
)

// registryName is the registry as signatures name it.
const registryName = "registry.bench"

// A notary publishes the trust data of all repositories, under one root key.
type notary struct {
	files map[string][]byte // by the path of a request
	key   string            // the id of the root key
}

// newNotary signs what the catalogue says is signed.
func newNotary(signed map[string]map[string]trusttest.Entry, now time.Time) *notary {
	root := trusttest.NewKey(trusttest.ECDSA)
	s := &notary{files: make(map[string][]byte), key: root.Canonical()}
	for repository, tags := range signed {
		gun := registryName + "/" + repository
		n := trusttest.NewNotary(gun, now)
		n.Root.Keys = []*trusttest.Key{root.Certify(trusttest.Template(gun, now), nil, nil)}
		n.Targets.Entries = tags
		n.Publish()
		for name, raw := range n.Files() {
			s.files["/v2/"+gun+"/_trust/tuf/"+name] = raw
		}
	}
	return s
}

// ServeHTTP implements http.Handler.
func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, ok := n.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw)
}
