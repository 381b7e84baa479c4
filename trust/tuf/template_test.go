package tuf

import (
	"testing"

	"github.com/tagwarden/tagwarden/trust"
	"github.com/tagwarden/tagwarden/trust/names"
)

func TestTemplate(t *testing.T) {
	n := trust.Name{Repository: "r.example:5000/team/app", Tag: "v1.2_x"}
	for s, want := range map[string]string{
		"{name}:{tag}": "r.example:5000/team/app:v1.2_x", "{tag}": "v1.2_x", "images/{name}/-:tag-{tag}.json": "images/r.example:5000/team/app/-:tag-v1.2_x.json",
		"x{tag}": "xv1.2_x", "{name}/{tag}": "r.example:5000/team/app/v1.2_x",
	} {
		f, err := New(Options{Target: s})
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		collection, target := f.Locate(n)
		if collection != Whole || target != want {
			t.Errorf("%s: %s %s", s, collection, target)
		}
		if tag, ok := f.Tag(n.Repository, target); !ok || tag != n.Tag {
			t.Errorf("%s: back to %q, %v", s, tag, ok)
		}
		for _, other := range []string{"", "v1/2", want + "/", "/" + want, want + ":", want + "é"} {
			if tag, ok := f.Tag(n.Repository, other); ok && target != other {
				t.Errorf("%s: %q is tag %q", s, other, tag)
			}
		}
		if tag, ok := f.Tag("r.example:5000/team/ap", target); ok && f.template.named {
			t.Errorf("%s: another repository has it as %q", s, tag)
		}
	}
	for _, s := range []string{"", "{name}", "{name}{tag}", "{name}-{tag}", "{tag}:{name}", "{tag}{tag}", "{name}:{name}:{tag}", "{name}:{tag}:{name}", "{name}:{tag}*", "{name}:{tag}?", "{name}: {tag}", "{repo}:{tag}", "{name}:{tag}\n"} {
		if _, err := New(Options{Target: s}); err == nil {
			t.Errorf("%q is a template", s)
		}
	}
	f, err := New(Options{Target: "{tag}", PerName: true})
	if err != nil {
		t.Fatal(err)
	}
	if collection, target := f.Locate(n); collection != n.Repository || target != n.Tag {
		t.Errorf("%s %s", collection, target)
	}
}

// FuzzTemplate: different images never have one target, and what is a target is read back as the image it is of.
func FuzzTemplate(f *testing.F) {
	f.Add("{name}:{tag}", "r.example/a", "v1", "r.example/a:v1")
	f.Add("a{name}x:x{tag}b", "r.example/a", "v1", "ar.example/ax:x1x:xv1b")
	f.Fuzz(func(t *testing.T, s, repository, tag, target string) {
		form, err := parseTemplate(s)
		if err != nil {
			return
		}
		if n, ok := form.image(target); ok && form.target(n) != target {
			t.Errorf("%s: %q is %v, whose target is %q", s, target, n, form.target(n))
		}
		if names.Tag(tag) != nil {
			return // what has a colon in it is no tag, and its end may be one
		}
		n := trust.Name{Repository: repository, Tag: tag}
		if got, ok := form.image(form.target(n)); form.named && repository != "" && (!ok || got != n) {
			t.Errorf("%s: %v comes back as %v", s, n, got)
		}
	})
}
