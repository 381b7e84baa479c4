// Package e2e runs scripts and real clients against the real binary.
//
// It needs the build tag e2e, root and the Debian packages that install.sh
// names; "make e2e" takes care of all three. Each test starts what it needs on
// free ports of 127.0.0.1: docker-registry as the upstream, notary-server as the
// source of trust data, a dockerd of its own in a temporary folder, and
// tagwarden. No request leaves the machine, but for Go's own when it builds
// crane, and a test ends what it started.
//
// With CI=true a missing client is a failure. Otherwise the tests that need it
// are skipped.
package e2e
