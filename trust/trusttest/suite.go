package trusttest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/tagwarden/tagwarden/trust"
)

// A Subject is a published repository, and who verifies it. Everything in it is of version 1. The first of Delegations is
// delegated by targets and signs Target as "good"; what is asked after it signs Target as "other".
type Subject struct {
	*Repository
	Target string
	// Open returns a verifier as after a start of the process, with the state that was kept. It looks at the repository at
	// its Now, and trusts its first root.
	Open func() trust.Verifier

	// stranger is another such repository, of the same name.
	stranger func() Subject
	// first is what was published first.
	first map[string][]byte
	// stop ends the refresh under way.
	stop context.CancelFunc
}

// A row is one attack and what it must come to:
//
//   - "good", "other": the refresh is taken, and the target means that;
//   - "denied" and a reason: the refresh is taken, and the target is refused;
//   - "refused" and a reason: the refresh is refused, and what was verified before stands.
type row struct {
	name string
	// seen happens before the attack, and whoever is attacked has seen it.
	seen   func(s Subject)
	attack func(s Subject)
	want   string
	// tuf is what a TUF verifier makes of it where the formats differ.
	tuf string
	// cold and tufCold are for who has seen nothing before, where that differs; "-" where the attack means nothing.
	cold, tufCold string
	// timeless tells that it makes no difference whether who has seen something was started again.
	timeless bool
	// hand is what becomes of what was verified before, where the refresh is refused; "good" if empty.
	hand string
	// unseen tells that it is only for who has seen nothing before.
	unseen bool
	// back is what the files from before the attack come to, where the refresh is refused; "good" if empty. Root, timestamp and
	// snapshot that verified before an update failed are kept, and nothing older is taken.
	back string
	// notaryBack is what a Notary verifier makes of them where the formats differ.
	notaryBack string
}

// expects returns what the row must come to, "-" if it does not apply.
func (w row) expects(tuf, cold bool) string {
	want := w.want
	if tuf && w.tuf != "" {
		want = w.tuf
	}
	if cold && w.cold != "" {
		want = w.cold
	}
	if cold && tuf && w.tufCold != "" {
		want = w.tufCold
	}
	return want
}

// TestVerifier attacks verifiers of one format with every row of the table: one that has seen nothing yet, one that has
// seen the second version, and one that has seen it and was started again. Fresh must return a subject of its own each
// time.
func TestVerifier(t *testing.T, fresh func(t *testing.T) Subject) {
	_, tuf := fresh(t).format.(*TUF)
	for _, w := range table() {
		for _, how := range []string{"cold", "warm", "restarted"} {
			want := w.expects(tuf, how == "cold")
			if want == "-" || how == "warm" && w.timeless || how != "cold" && w.unseen {
				continue
			}
			t.Run(w.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				s := fresh(t)
				s.stranger = func() Subject { return fresh(t) }
				s.first = s.Files()
				w.run(t, s, how, want)
			})
		}
	}
}

// run makes the attack and judges what it came to.
func (w row) run(t *testing.T, s Subject, how, want string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.stop = stop
	v, hand := w.prepare(t, s, how)
	before, now, was := s.Files(), s.Now, s.honest()
	w.attack(s)
	got, next, err := refresh(ctx, s, v)
	if got != want {
		t.Errorf("%s, want %s (%v)", got, want, err)
	}
	if err != nil {
		next = hand
	}
	if next != nil {
		w.holds(t, s, next, want)
	}
	// Whatever happened, what is kept says the same after the next start.
	kept, err := s.Open().Load(t.Context())
	switch {
	case err != nil || (kept == nil) != (next == nil):
		t.Errorf("state is kept: %v, want %v; %v", kept != nil, next != nil, err)
	case kept != nil && verdict(s, kept) != verdict(s, next):
		t.Errorf("state says %s, not %s", verdict(s, kept), verdict(s, next))
	}
	for role, limit := range map[string]int64{"root": 512 << 10, "timestamp": 64 << 10, "snapshot": 4 << 20, "targets": 16 << 20} {
		// PRODUCT: section 8, limits.
		if s.limit[role] > limit {
			t.Errorf("asked for %d bytes of %s, more than %d", s.limit[role], role, limit)
		}
	}
	if strings.HasPrefix(want, "refused") {
		s.Now = now
		s.Recover(before)
		w.recovers(t, s, v, was)
	}
}

// recovers checks what follows when the attack ends: what was refused left no trace but for what verified in it, and the
// honest repository goes on.
func (w row) recovers(t *testing.T, s Subject, v trust.Verifier, was func()) {
	t.Helper()
	back := w.back
	if _, tuf := s.format.(*TUF); !tuf && w.notaryBack != "" {
		back = w.notaryBack
	}
	if back == "" {
		back = "good"
	}
	if got, _, err := refresh(t.Context(), s, v); got != back {
		t.Errorf("after the attack: %s, want %s (%v)", got, back, err)
	}
	if back == "good" {
		return
	}
	was()
	for name, v := range map[string]trust.Verifier{"running": v, "restarted": s.Open()} {
		s.Next(append([]*Role{s.Root, s.Targets}, s.Delegations...)...)
		if got, _, err := refresh(t.Context(), s, v); got != "good" {
			t.Errorf("the honest repository, %s: %s (%v)", name, got, err)
		}
	}
}

// honest returns what makes the roles again what they are now, but for versions, which go on from what they are then.
func (s Subject) honest() func() {
	was := make(map[*Role]Role)
	for _, role := range append([]*Role{s.Root, s.Timestamp, s.Snapshot, s.Targets}, s.Delegations...) {
		was[role] = *role
	}
	return func() {
		for role, r := range was {
			r.Version = max(r.Version, role.Version)
			*role = r
		}
	}
}

// prepare publishes what comes before the attack, and has whoever is not to come cold see it.
func (w row) prepare(t *testing.T, s Subject, how string) (trust.Verifier, *trust.Snapshot) {
	t.Helper()
	v := s.Open()
	var hand *trust.Snapshot
	see := func() {
		if how == "cold" {
			return
		}
		got, next, err := refresh(t.Context(), s, v)
		if got != "good" {
			t.Fatalf("before the attack: %s (%v)", got, err)
		}
		hand = next
	}
	s.Next(s.Targets, s.Delegations[0])
	see()
	if w.seen != nil {
		w.seen(s)
		see()
	}
	if how == "restarted" {
		v = s.Open()
		var err error
		if hand, err = v.Load(t.Context()); err != nil || hand == nil {
			t.Fatalf("nothing was kept: %v", err)
		}
	}
	// Long enough ago for any newer root to be asked for.
	s.Now = s.Now.Add(2 * time.Hour)
	return v, hand
}

// holds checks what is in hand after the attack.
func (w row) holds(t *testing.T, s Subject, hand *trust.Snapshot, want string) {
	t.Helper()
	for _, c := range hand.Lookup(s.Target).Claims {
		if c.Target.Digest == digest.FromString("evil") {
			t.Errorf("%s, who may not, claims a digest", c.Role)
		}
	}
	if !strings.HasPrefix(want, "refused") {
		if !hand.Checked.Equal(s.Now) {
			t.Errorf("checked at %s, not %s", hand.Checked, s.Now)
		}
		return
	}
	if w.hand != "" {
		want = w.hand
	} else {
		want = "good"
	}
	if got := verdict(s, hand); got != want {
		t.Errorf("what was verified before comes to %s, want %s", got, want)
	}
}

// refresh lets the verifier look at the repository, and says what that comes to.
func refresh(ctx context.Context, s Subject, v trust.Verifier) (string, *trust.Snapshot, error) {
	next, err := v.Refresh(ctx)
	if err != nil {
		return "refused " + string(trust.ReasonOf(err)), nil, err
	}
	if next == nil {
		return "", nil, errors.New("no snapshot and no error")
	}
	return verdict(s, next), next, nil
}

// verdict says what a snapshot makes of the target.
func verdict(s Subject, in *trust.Snapshot) string {
	e := in.Lookup(s.Target)
	if e.Refusal != nil {
		return "denied " + string(e.Refusal.Reason)
	}
	said := "denied unsigned_tag"
	ends := []time.Time{in.Expires, e.Expires}
	for _, c := range e.Claims {
		if !c.Released {
			continue
		}
		ends = append(ends, c.Expires)
		said = "another digest"
		for _, text := range []string{"good", "other"} {
			if c.Target.Digest == digest.FromString(text) {
				said = text
			}
		}
		break
	}
	for _, end := range ends {
		if !end.IsZero() && s.Now.After(end) {
			return "denied metadata_expired"
		}
	}
	return said
}
