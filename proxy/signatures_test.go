package proxy

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// signatures is a Resolver over what a test has signed.
type signatures struct {
	mu      sync.Mutex
	targets map[trust.Name]trust.Target
	errs    map[string]error // by repository
	checked time.Time
	wait    chan struct{} // Resolve does not answer before it is closed, unless it is nil
}

func (s *signatures) sign(repository, tag string, t trust.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets[trust.Name{Repository: repository, Tag: tag}] = t
}

func (s *signatures) statement(repository string) trust.Statement {
	n := 0
	for name := range s.targets {
		if name.Repository == repository {
			n++
		}
	}
	return trust.Statement{
		Checked: s.checked, Expires: s.checked.Add(time.Hour), Listed: n,
		Versions: []trust.RoleVersion{{Role: "root", Version: 1}, {Role: "targets", Version: 12}},
	}
}

func (s *signatures) Resolve(ctx context.Context, n trust.Name, _ time.Duration) (trust.Statement, error) {
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return trust.Statement{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errs[n.Repository]; err != nil {
		return trust.Statement{}, err
	}
	st := s.statement(n.Repository)
	if t, ok := s.targets[n]; ok {
		st.Claims = []trust.Claim{{Target: t, Role: "targets/releases", Released: true}}
	}
	return st, nil
}

func (s *signatures) Tags(_ context.Context, repository string, _ time.Duration) (iter.Seq2[string, trust.Statement], trust.Statement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.errs[repository]; err != nil {
		return nil, trust.Statement{}, err
	}
	st := s.statement(repository)
	return func(yield func(string, trust.Statement) bool) {
		for n, t := range s.targets {
			one := st
			one.Claims = []trust.Claim{{Target: t, Role: "targets/releases", Released: true}}
			if n.Repository == repository && !yield(n.Tag, one) {
				return
			}
		}
	}, st, nil
}

// faulty is an Upstream that knows nothing but an error, and a list of referrers if there is none.
type faulty struct {
	err       error
	referrers string
}

func (f faulty) Resolve(context.Context, string, string) (digest.Digest, error) { return "", f.err }
func (f faulty) Tags(context.Context, string) ([]string, error)                 { return nil, f.err }

func (f faulty) Manifest(context.Context, string, digest.Digest) ([]byte, string, error) {
	return nil, "", f.err
}

func (f faulty) Blob(context.Context, string, digest.Digest, int64) (io.ReadCloser, int64, error) {
	return nil, 0, f.err
}

func (f faulty) Referrers(context.Context, string, digest.Digest, string) ([]byte, bool, error) {
	return []byte(f.referrers), false, f.err
}
