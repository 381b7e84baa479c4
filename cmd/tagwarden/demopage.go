package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/template"
	"time"
)

// A demoPage is what the demo prints.
type demoPage struct {
	dir, file  string
	door, desk string // where the gateway listens
	images     demoImages
}

// demoTime is how long one of the demo's own pulls may take.
const demoTime = 10 * time.Second

// showDemo pulls what there is to pull, and prints the answers and how to try it.
func showDemo(ctx context.Context, w io.Writer, p demoPage) error {
	self, err := os.Executable()
	if err != nil {
		self = "tagwarden"
	}
	try := []demoTry{
		{What: "signed", Ref: "hello:1.0"},
		{What: "unsigned", Ref: "hello:2.0"},
		{What: "by digest", Ref: "hello@" + p.images.unsigned.Digest.String()},
	}
	for i := range try {
		try[i].Answer = p.pull(ctx, try[i].Path())
	}
	var page bytes.Buffer
	err = demoText.Execute(&page, map[string]any{
		"Door": p.door, "Desk": p.desk, "Dir": p.dir, "Tries": try, "Passphrase": demoPassphrase,
		"Tagwarden": fmt.Sprintf("%s --config %s", shellWord(self), shellWord(p.file)), "Keys": shellWord(p.dir + "/keys"),
		"Unsigned": demoRegistry + "/hello:2.0", "Accept": "application/vnd.oci.image.index.v1+json",
	})
	if err != nil {
		return err
	}
	_, err = page.WriteTo(w)
	return err
}

// A demoTry is one pull to try.
type demoTry struct{ What, Ref, Answer string }

// Path is where the registry API has the reference.
func (t demoTry) Path() string {
	name, ref, found := strings.Cut(t.Ref, "@")
	if !found {
		name, ref, _ = strings.Cut(t.Ref, ":")
	}
	return "/v2/" + name + "/manifests/" + ref
}

// pull asks the gateway as a client does, and returns what came of it.
func (p demoPage) pull(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.door+path, nil)
	if err != nil {
		return err.Error()
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return "200 " + res.Header.Get("Docker-Content-Digest")
	}
	var body struct{ Errors []struct{ Message string } }
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&body); err != nil || len(body.Errors) == 0 {
		return res.Status
	}
	return fmt.Sprintf("%d %s", res.StatusCode, body.Errors[0].Message)
}

// shellWord makes a path one word of a shell.
func shellWord(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

var demoText = template.Must(template.New("demo").Parse(`
tagwarden demo: a gateway on {{.Door}}, over a registry of its own in this process.
Of hello, tag 1.0 is signed, an index for amd64 and arm64; tag 2.0 is not.

Three pulls, and how the gateway answered them just now:
{{range .Tries}}
  {{printf "%-10s" .What}} GET {{.Path}}
             {{.Answer}}
{{end}}
Try them yourself:
{{range .Tries}}
  # {{.What}}
  docker pull {{$.Door}}/{{.Ref}}
  podman pull --tls-verify=false {{$.Door}}/{{.Ref}}
  crane digest {{$.Door}}/{{.Ref}}
  curl -i -H 'Accept: {{$.Accept}}' http://{{$.Door}}{{.Path}}
{{end}}
Sign the refused tag from a second terminal, and it pulls at once:

  TAGWARDEN_REPOSITORY_PASSPHRASE={{.Passphrase}} {{.Tagwarden}} trust sign --keys {{.Keys}} --yes {{.Unsigned}}

Look behind it:

  {{.Tagwarden}} explain {{.Unsigned}}
  {{.Tagwarden}} trust inspect --pretty {{.Unsigned}}
  curl http://{{.Desk}}/metrics

Configuration, keys, trust data, log and audit log are in {{.Dir}} until the demo ends: Ctrl-C.
`))
