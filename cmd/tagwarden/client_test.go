package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tagwarden runs one command as main does.
func tagwarden(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), status
}

// wantGolden compares with a file of testdata.
func wantGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s (go test -update writes it anew):\n%s", file, got)
	}
}

// clientConfig knows a registry by a rule, one at another address, one with a port and a path, and one with a port alone.
const clientConfig = `
registries:
  registry.example.com: {url: "https://registry.internal:5000", path: corp}
  registry.lab:5000: {path: lab}
  quay.lab:5000: {}
sources:
  site: {notary: "https://notary.example.com", pins: {"docker.io/**": {tofu: true}}}
rules:
  - match: docker.io/library/*
`

// writeConfig writes a configuration and what it names, and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"tagwarden.yaml": text, "tls.crt": "none", "tls.key": "none"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "tagwarden.yaml")
}

const (
	overHTTP  = "hosts: [images.corp:5000, other.corp]\n" + clientConfig
	overHTTPS = "hosts: [images.corp]\ntls: {cert: tls.crt, key: tls.key}\n" + clientConfig
)

// clientOutputs are all that can be printed. Each has a golden file.
var clientOutputs = []struct{ golden, config, args string }{
	{"client-containerd-http", overHTTP, "containerd"},
	{"client-containerd-https", overHTTPS, "containerd"},
	{"client-containerd-digests-http", overHTTP, "containerd --variant digests"},
	{"client-containerd-digests-https", overHTTPS, "containerd --variant digests"},
	{"client-docker-http", overHTTP, "docker"},
	{"client-docker-https", overHTTPS, "docker"},
	{"client-podman-http", overHTTP, "podman"},
	{"client-podman-https", overHTTPS, "podman"},
	{"client-crio-http", overHTTP, "crio"},
	{"client-crio-https", overHTTPS, "crio"},
}

func TestClientPrints(t *testing.T) {
	for _, test := range clientOutputs {
		t.Run(test.golden, func(t *testing.T) {
			args := append([]string{"client", "--config", writeConfig(t, test.config)}, strings.Fields(test.args)...)
			out, errs, status := tagwarden(t, args...)
			if status != 0 || errs != "" {
				t.Fatalf("exit status %d: %s", status, errs)
			}
			wantGolden(t, test.golden, out)
			for file, tables := range readFiles(t, out) {
				wantClosed(t, file, tables)
			}
		})
	}
}

// wantClosed checks what keeps a client from asking the upstream what a tag means.
func wantClosed(t *testing.T, file string, tables []table) {
	t.Helper()
	gateway, root := "https://images.corp", tables[0].values
	if strings.HasSuffix(t.Name(), "-http") {
		gateway = "http://images.corp:5000"
	}
	if strings.HasSuffix(file, "/hosts.toml") {
		// CLIENTS: 1.3, the gateway is the server, or the server may not resolve.
		strict := root["server"] == strconv.Quote(gateway) && root["capabilities"] == ""
		digests := strings.HasPrefix(root["server"], `"https://`) && root["capabilities"] == `["pull"]`
		if want := strings.Contains(t.Name(), "digests") && !strings.Contains(file, "/_default/"); strict == want || digests != want {
			t.Errorf("%s: %v", file, root)
		}
		// CLIENTS: 1.2, without the table containerd 1.6 ignores the file.
		if len(tables) != 2 || tables[1].name != `host."`+gateway+`"` || tables[1].values["capabilities"] != `["pull", "resolve"]` {
			t.Errorf("%s: %v", file, tables)
		}
		return
	}
	mirrors := make(map[string]string)
	registry := ""
	for _, tb := range tables[1:] {
		switch tb.name {
		case "registry":
			registry = tb.values["prefix"]
			mirrors[registry] = ""
			// CLIENTS: 1.2, without blocked the upstream is asked last.
			if tb.values["blocked"] != "true" || tb.values["location"] != registry {
				t.Errorf("%s: %v", file, tb)
			}
		case "registry.mirror":
			mirrors[registry] = tb.values["location"]
			if insecure := tb.values["insecure"] == "true"; insecure == strings.HasPrefix(gateway, "https") {
				t.Errorf("%s: %v", file, tb)
			}
		}
	}
	host := gateway[strings.LastIndex(gateway, "/")+1:]
	for name, below := range map[string]string{"docker.io": "docker.io", "registry.example.com": "registry.example.com", "registry.lab:5000": "lab"} {
		if got := mirrors[strconv.Quote(name)]; got != strconv.Quote(host+"/"+below) {
			t.Errorf("%s: the mirror of %s is %s", file, name, got)
		}
	}
	// No path can name it at the gateway, so nothing may be asked for it.
	if got, ok := mirrors[`"quay.lab:5000"`]; got != "" || !ok || len(mirrors) != 4 {
		t.Errorf("%s: %v", file, mirrors)
	}
}

// A table is one of a TOML file, with the text of its values. The first of a file has no name.
type table struct {
	name   string
	values map[string]string
}

var (
	pathLine  = regexp.MustCompile(`^# (/etc/\S+\.(?:toml|conf))$`)
	blankLine = regexp.MustCompile(`^(#.*)?$`)
	tableLine = regexp.MustCompile(`^(?:\[([a-z]+\."[^"\\\x00-\x1f]+")\]|\[\[([a-z]+(?:\.[a-z]+)?)\]\])(?:  #.*)?$`)
	valueLine = regexp.MustCompile(`^ *([a-z]+) = ("[^"\\\x00-\x1f]*"|true|\["[a-z]+"(?:, "[a-z]+")*\])(?:  #.*)?$`)
)

// readFiles parts what a command printed into files, and reads as much of TOML as stands in them: anything else fails the
// test.
func readFiles(t *testing.T, text string) map[string][]table {
	t.Helper()
	files := make(map[string][]table)
	file := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := pathLine.FindStringSubmatch(line); m != nil {
			if file = m[1]; files[file] != nil {
				t.Errorf("%s comes twice", file)
			}
			files[file] = []table{{values: make(map[string]string)}}
			continue
		}
		if blankLine.MatchString(strings.TrimLeft(line, " ")) {
			continue
		}
		if file == "" {
			t.Fatalf("before the first file: %q", line)
		}
		if m := tableLine.FindStringSubmatch(line); m != nil {
			files[file] = append(files[file], table{m[1] + m[2], make(map[string]string)})
			continue
		}
		m := valueLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s: no TOML: %q", file, line)
		}
		values := files[file][len(files[file])-1].values
		if _, dup := values[m[1]]; dup {
			t.Errorf("%s: %s comes twice in a table", file, m[1])
		}
		values[m[1]] = m[2]
	}
	if len(files) == 0 {
		t.Error("no file")
	}
	return files
}

func TestClientUsage(t *testing.T) {
	const noHosts = clientConfig
	tests := []struct {
		config, args string
		status       int
		want         string
	}{
		{overHTTP, "", 2, "containerd, docker, podman or crio"},
		{overHTTP, "nerdctl", 2, `"nerdctl" is not one of containerd, docker, podman or crio`},
		{overHTTP, "podman now", 2, "client podman: takes 0 arguments, not 1"},
		{overHTTP, "podman --variant digests", 2, "unknown flag: --variant"},
		{overHTTP, "containerd --variant loose", 2, `--variant "loose": strict or digests`},
		{noHosts, "podman", 2, "the configuration has no hosts: give the gateway's address with --gateway"},
		{noHosts, "podman --gateway http://127.0.0.1:5000", 0, ""},
		{noHosts, "podman --gateway http://images.corp", 2, `host "images.corp" is neither`},
		{overHTTP, "podman --gateway https://OTHER.corp:443/", 0, ""},
		{overHTTP, "podman --gateway images.corp:5000", 2, "write https://HOST"},
		{overHTTP, "podman --gateway ftp://images.corp:5000", 2, "write https://HOST"},
		{overHTTP, "podman --gateway http://images.corp:5000/v2", 2, "write https://HOST"},
		{overHTTP, "podman --gateway http://user@images.corp:5000", 2, "write https://HOST"},
		{overHTTP, "podman --gateway http://images.corp:5000?", 2, "write https://HOST"},
		{overHTTP, "podman --gateway http://", 2, "write https://HOST"},
		{overHTTP, `podman --gateway http://[::1%25"]:5000`, 2, "write https://HOST"},
		{overHTTP, `podman --gateway http://gate"way:5000`, 2, "is not a registry host"},
		{overHTTP, "podman --gateway http://gateway", 2, "needs a dot or a port"},
		{overHTTP, "podman --gateway https://docker.io", 2, "means docker.io/docker.io/any/image"},
		{strings.Replace(overHTTP, "  - match", "  - march", 1), "podman", 1, "march"},
		{"hosts: [images.corp]\nsources:\n  site: {notary: 'https://n.corp', pins: {'**': {tofu: true}}}\nrules: [{match: '**'}]", "podman", 1, "names no registry"},
	}
	for _, test := range tests {
		args := append([]string{"client", "--config", writeConfig(t, test.config)}, strings.Fields(test.args)...)
		out, errs, status := tagwarden(t, args...)
		if status != test.status || !strings.Contains(errs, test.want) || (status == 0) != (out != "") {
			t.Errorf("client %s: exit status %d, want %d with %q:\n%s%s", test.args, status, test.status, test.want, errs, out)
		}
	}
}

func TestClientGatewayGiven(t *testing.T) {
	out, _, _ := tagwarden(t, "client", "containerd", "--config", writeConfig(t, overHTTP), "--gateway", "https://Other.corp/")
	if !strings.Contains(out, "\nserver = \"https://other.corp\"") || strings.Contains(out, "images.corp") {
		t.Errorf("got\n%s", out)
	}
}

func TestQuoted(t *testing.T) {
	for s, want := range map[string]string{
		"images.corp:5000": `"images.corp:5000"`,
		`a"b\c`:            `"a\"b\\c"`,
		"\n\x00\x7f\x1b":   `"\u000A\u0000\u007F\u001B"`,
		"ü\xff":            "\"ü\uFFFD\"",
	} {
		if got := quoted(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}
