package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tagwarden/tagwarden/config"
	"github.com/tagwarden/tagwarden/trust"
)

// dockerPage returns what docker prints for an image that two people sign.
func dockerPage() trustPage {
	return trustPage{
		Name: "127.0.0.1:25500/dct/twosigners",
		SignedTags: []signedTag{
			{SignedTag: "v1", Digest: strings.Repeat("4f", 32), Signers: []string{"bob", "carol"}},
			{SignedTag: "v2", Digest: strings.Repeat("74", 32), Signers: []string{repoAdmin}},
		},
		Signers:            []namedKeys{newKeys("bob", []string{strings.Repeat("76", 32)}, 1), newKeys("carol", []string{strings.Repeat("ed", 32), strings.Repeat("ee", 32)}, 2)},
		AdministrativeKeys: []namedKeys{newKeys("Root", []string{strings.Repeat("ac", 32)}, 1), newKeys("Repository", []string{strings.Repeat("9a", 32)}, 1)},
		Source:             "./trust", Versions: []pageVersion{}, Problems: []string{},
	}
}

// TestPageForPeople: docker's tables as docker lays them out, and behind them what it does not know.
func TestPageForPeople(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := dockerPage()
	p.Versions = []pageVersion{{"root", 1, now.AddDate(1, 0, 0)}, {"timestamp", 12, now.Add(-time.Second)}}
	p.Problems = []string{"dave: no file yet"}
	p.SignedTags[0].Upstream = "sha256:" + p.SignedTags[0].Digest
	var b bytes.Buffer
	if err := p.print(&b, now); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "trust-pretty", b.String())
	b.Reset()
	if err := newPage(trust.Name{Repository: "r.example/a"}, "./trust").print(&b, now); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "trust-pretty-none", b.String())
}

// TestPageForMachines: docker's members come first and keep their spelling.
func TestPageForMachines(t *testing.T) {
	var b bytes.Buffer
	if err := printTrustJSON(&b, []trustPage{dockerPage(), newPage(trust.Name{Repository: "r.example/a", Tag: "v1"}, "./trust")}); err != nil {
		t.Fatal(err)
	}
	wantGolden(t, "trust-json", b.String())
}

// TestInitConfig: what init writes is a configuration; so it is with every option that it only mentions.
func TestInitConfig(t *testing.T) {
	readable := func(string) error { return nil }
	plain, err := config.Parse("tagwarden.yaml", initConfig, readable, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(plain.Rules) != 1 || plain.Rules[0].Source != "site" || plain.Sources["site"].Dir != initTrust+"/metadata" || plain.Sources["site"].Publish.PassphraseFile != initPassphrase {
		t.Errorf("%+v", plain)
	}
	var all []string
	for _, line := range strings.Split(string(initConfig), "\n") {
		before, option, ok := strings.Cut(line, "#")
		// Words of a sentence have one space before them.
		if ok && strings.TrimSpace(before) == "" && (!strings.HasPrefix(option, " ") || strings.HasPrefix(option, "  ")) {
			line = before + option
		}
		all = append(all, line)
	}
	if _, err := config.Parse("tagwarden.yaml", []byte(strings.Join(all, "\n")), readable, config.Options{}); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(all, "\n"))
	}
}
