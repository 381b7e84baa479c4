package main

import (
	"net/http"
	"net/url"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/proxy/upstream"
)

// putTime is how long a gateway may take to take a file.
const putTime = 60 * time.Second

// A signerClient reads as the gateway does, and writes without credentials: what is written speaks for itself by its
// signatures. Nothing that is written is redirected.
type signerClient struct {
	read  upstream.Doer
	write http.Client
}

// Do implements remote.Doer.
func (s *signerClient) Do(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut {
		return s.write.Do(req)
	}
	return s.read.Do(req)
}

// newSigner returns what reads and writes the repository at an address.
func newSigner(name string, s config.Source, egress *url.URL) (*signerClient, error) {
	read, err := newClient(upstream.Options{
		Name: name, What: "source", URL: s.TUF, TokenRealms: s.TokenRealms, RedirectHosts: s.RedirectHosts, EgressProxy: egress,
	}, s.CA, s.Credentials, s.TUF.Host)
	if err != nil {
		return nil, err
	}
	pool, err := readPool(s.CA)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	if egress != nil {
		t.Proxy = http.ProxyURL(egress)
	}
	t.TLSClientConfig.RootCAs = pool
	return &signerClient{read: read.Scoped(""), write: http.Client{
		Transport: t, Timeout: putTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}
