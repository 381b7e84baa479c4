package names

import "testing"

// TestHostIsWhatWasWritten: a host that is none does not become one, and a full form is its own.
//
// PRODUCT: section 2, anything not ASCII or not valid is refused.
func TestHostIsWhatWasWritten(t *testing.T) {
	for s, want := range map[string]string{
		"Registry.Example:443": "registry.example", "r.io:5000": "r.io:5000", "[::1]:443": "[::1]", "INDEX.docker.io:443": "docker.io",
		"r.io:443:443": "", "r.io:4:443": "", "\u212a.io": "", "r.io:\u212a43": "", "r.\u0130o": "", "r.io:": "", "r.io:443\n": "", "r:443": "",
	} {
		got, err := Host(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Host(%q) = %q, %v; want %q", s, got, err, want)
		}
		if again, err := Host(got); want != "" && (again != got || err != nil) {
			t.Errorf("Host(%q) = %q, %v", got, again, err)
		}
	}
}
