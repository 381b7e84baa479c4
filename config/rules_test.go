package config

import (
	"errors"
	"strings"
	"testing"
)

// TestOneMistake: what is wrong is said once, at the place where it is, and what follows from it is not.
func TestOneMistake(t *testing.T) {
	const notary = "sources: {s: {notary: \"https://n.example\", pins: {\"**\": {tofu: true}}, gun: %gun}}\n" + denyAll
	for name, c := range map[string]struct{ text, want string }{
		"a target that is not one, for all images": {"sources: {s: {tuf: /t, root: /r, target: \"x\"}}\nrules: [{match: \"r.io/*\"}, {match: \"r.io/b/*\"}]\n", `"x" is no template`},
		"a folder here in a gun":                   {strings.Replace(notary, "%gun", `"./{name}"`, 1), "empty or only dots"},
		"a folder here behind it":                  {strings.Replace(notary, "%gun", `"{name}/."`, 1), "empty or only dots"},
		"a folder above in a gun":                  {strings.Replace(notary, "%gun", `"../{name}"`, 1), "empty or only dots"},
		"dots in a gun":                            {strings.Replace(notary, "%gun", `"a.b/{name}"`, 1), ""},
	} {
		_, err := Parse("/etc/c.yaml", []byte(c.text), present, Options{})
		var problems Problems
		switch {
		case c.want == "" && err == nil:
		case !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(problems[0].Text, c.want):
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
