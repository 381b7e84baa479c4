package upstream

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseChallenges(t *testing.T) {
	param := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for s, want := range map[string][]challenge{
		"":             nil,
		" , ,":         nil,
		"Basic":        {{"basic", "", param()}},
		"Basic ,":      {{"basic", "", param()}},
		"Basic, BASIC": {{"basic", "", param()}, {"basic", "", param()}},
		`Bearer realm="https://a/t",service="s",scope="x:y:z,w"`: {{"bearer", "", param("realm", "https://a/t", "service", "s", "scope", "x:y:z,w")}},
		`Bearer Realm="https://a/t" , SERVICE = s`:               {{"bearer", "", param("realm", "https://a/t", "service", "s")}},
		`Negotiate abc+/==, Basic realm="x"`:                     {{"negotiate", "abc+/==", param()}, {"basic", "", param("realm", "x")}},
		`Negotiate, Bearer realm="x",error="y", Basic realm=z`: {
			{"negotiate", "", param()}, {"bearer", "", param("realm", "x", "error", "y")}, {"basic", "", param("realm", "z")},
		},
		`Basic realm="a \"b\" \\c"`:     {{"basic", "", param("realm", `a "b" \c`)}},
		`Basic realm=""`:                {{"basic", "", param("realm", "")}},
		`Bearer realm="x",,, service=y`: {{"bearer", "", param("realm", "x", "service", "y")}},
		"Bearer\trealm=x":               {{"bearer", "", param("realm", "x")}},
		"Bearer a==, Basic":             {{"bearer", "a==", param()}, {"basic", "", param()}},
	} {
		got, err := parseChallenges(s)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		`Bearer realm="x`:                     "does not end",
		`Bearer realm="x\`:                    "does not end",
		"Bearer realm=\"a\r\nX: y\"":          "character",
		"Bearer realm=\"a\\\r\"":              "character",
		"Bearer realm=\"\x7f\"":               "character",
		"Bearer realm=\"\u00e9\"":             "character",
		`Bearer realm="x",realm="y"`:          "twice",
		`Bearer realm="x",REALM=y`:            "twice",
		`Bearer realm="x" service="y"`:        "follows the value",
		`Bearer realm="x"y`:                   "follows the value",
		`Bearer realm=https://a/t`:            "follows the value",
		`Bearer =x`:                           "neither",
		`Bearer ==`:                           "neither",
		`Bearer x y`:                          "neither",
		`Bearer, "x"`:                         "scheme is missing",
		`realm="x"`:                           "follows the scheme",
		`Bearer"x"`:                           "follows the scheme",
		strings.Repeat("a,", maxChallenges+1): "more than 16 challenges",
		"Bearer a=b" + strings.Repeat(",", maxChallengeBytes): "longer than",
		"Bearer " + manyParams(maxParams+1):                   "more than 16 parameters",
	} {
		if got, err := parseChallenges(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v %v, want an error with %q", s, got, err, want)
		}
	}
	if _, err := parseChallenges("Bearer " + manyParams(maxParams)); err != nil {
		t.Error(err)
	}
}

func manyParams(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("p%d=v", i))
	}
	return strings.Join(list, ",")
}

func TestSelectChallenge(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		scheme  string
		realm   string
	}{
		{[]string{`Basic realm="a"`, `Bearer realm="b"`}, "bearer", "b"},
		{[]string{`Basic realm="a", Bearer realm="b", Bearer realm="c"`}, "bearer", "b"},
		{[]string{"Negotiate", `Basic realm="a"`}, "basic", "a"},
		{[]string{"Negotiate"}, "", ""},
		{nil, "", ""},
		{[]string{`Bearer realm="b"`, `Bearer realm="`}, "", ""},
		{slices.Repeat([]string{"Basic, Basic"}, maxChallenges/2+1), "", ""},
	} {
		ch, err := selectChallenge(http.Header{"Www-Authenticate": tt.headers})
		if ch.scheme != tt.scheme || ch.params["realm"] != tt.realm || (err == nil) != (tt.scheme != "") {
			t.Errorf("%q: %v %v", tt.headers, ch, err)
		}
	}
}

// spell prints a challenge in one of the ways it can be spelt.
func spell(ch challenge) string {
	s := ch.scheme
	if ch.token68 != "" {
		return s + " " + ch.token68
	}
	for i, name := range slices.Sorted(maps.Keys(ch.params)) {
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(ch.params[name])
		s += fmt.Sprintf(`%s%s="%s"`, map[bool]string{true: " ", false: ","}[i == 0], name, value)
	}
	return s
}

// What parses prints back to the same meaning, and holds nothing that could end a header.
func FuzzParseChallenges(f *testing.F) {
	for _, s := range []string{
		"", "Basic", `Bearer realm="https://a/t",service="s",scope="repository:x:pull"`, `Negotiate a==, Basic realm="\"x\""`,
		`Bearer realm="x`, "Basic realm=\"\r\n\"", "a b=c, d e=f ,, g", `A B="C",D="E", F G="H"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseChallenges(s)
		if err != nil {
			return
		}
		var spelt []string
		for _, ch := range all {
			if ch.scheme == "" || ch.token68 != "" && len(ch.params) > 0 {
				t.Errorf("%q: %+v", s, ch)
			}
			for name, value := range ch.params {
				if strings.ContainsFunc(name+value, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
					t.Errorf("%q: parameter %q=%q", s, name, value)
				}
			}
			spelt = append(spelt, spell(ch))
		}
		if again, err := parseChallenges(strings.Join(spelt, ", ")); len(strings.Join(spelt, ", ")) <= maxChallengeBytes && (err != nil || !reflect.DeepEqual(again, all)) {
			t.Errorf("%q: %v, printed and read again: %v %v", s, all, again, err)
		}
	})
}
