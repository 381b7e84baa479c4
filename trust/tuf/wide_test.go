package tuf

import (
	"fmt"
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/trusttest"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestThousandRoles: as many as there must be room for, each for its own names.
func TestThousandRoles(t *testing.T) {
	repo := trusttest.NewTUF(now)
	for i := range 1000 {
		repo.Delegate(repo.Targets, fmt.Sprint("team", i), fmt.Sprintf("r.example/team%d:*", i), app).Sign(fmt.Sprintf("r.example/team%d:1", i), "b")
	}
	repo.Delegations[999].Sign(app, "a") // behind all others
	repo.Publish()
	s := refreshed(t, rig(t, repo).open())
	for target, want := range map[string]string{"r.example/team0:1": "team0=b", "r.example/team999:1": "team999=b", "r.example/team9:2": "", app: "team999=a"} {
		if got := said(s, target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// TestTooWide: who is beyond the bounds refuses its names, and nobody else's.
func TestTooWide(t *testing.T) {
	x := &update{next: trusted{nodes: make(map[string]*node)}}
	from := &node{name: "targets", role: &role{delegations: make([]metadata.DelegatedRole, maxEdges)}}
	for i := range from.role.delegations {
		from.role.delegations[i].Name = fmt.Sprint("r", i)
	}
	if fresh := x.extend([]*node{from}, 1); len(fresh) != maxRoles {
		t.Errorf("%d roles", len(fresh))
	}
	for i, e := range from.edges {
		if (e.refusal != nil) != (i >= maxRoles) {
			t.Fatalf("delegation %d: %v", i, e.refusal)
		}
	}
	again := &node{name: "again", role: &role{delegations: []metadata.DelegatedRole{{Name: "r1"}, {Name: "r2"}}}}
	if x.extend([]*node{again}, 1); again.edges[0].refusal == nil {
		t.Error("one delegation too many was drawn")
	}
}

// TestBins: names are spread over bins, as their hashes say.
func TestBins(t *testing.T) {
	repo := trusttest.NewTUF(now)
	bins := &metadata.SuccinctRoles{BitLength: 2, NamePrefix: "bin"}
	want := make(map[string]string)
	roles := make(map[string]*trusttest.Role)
	for _, name := range bins.GetRoles() {
		roles[name] = repo.Delegate(repo.Targets, name)
		roles[name].Keys = repo.Targets.Keys
	}
	for i := range 20 {
		target := fmt.Sprintf("r.example/app:%d", i)
		bin := bins.GetRolesForTarget(target)[0].Name
		roles[bin].Sign(target, "a")
		want[target] = bin + "=a"
	}
	roles["bin-0"].Sign("r.example/app:wrong", "a") // of another bin
	length := 2
	repo.Targets.Edit = func(m map[string]any) {
		d := m["delegations"].(map[string]any)
		of := d["roles"].([]any)[0].(map[string]any)
		delete(d, "roles")
		d["succinct_roles"] = map[string]any{"bit_length": length, "name_prefix": "bin", "keyids": of["keyids"], "threshold": 1}
	}
	repo.Publish()
	s := refreshed(t, rig(t, repo).open())
	if bins.GetRolesForTarget("r.example/app:wrong")[0].Name != "bin-0" {
		want["r.example/app:wrong"] = ""
	}
	for target, want := range want {
		if got := said(s, target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	length = 11
	repo.Next(repo.Targets)
	if _, err := rig(t, repo).open().Refresh(t.Context()); err == nil || trust.ReasonOf(err) != trust.MetadataInvalid {
		t.Errorf("2048 bins: %v", err)
	}
}
