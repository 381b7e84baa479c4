package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tagwarden/tagwarden/trust/names"
)

// check compares what was read in different places, and fills in what one place takes from another.
func (r *reader) check(c *Config) {
	if a, b := c.Listen, c.Admin.Listen; a != "" && b != "" && sameListener(a, b) {
		r.problem(r.at("admin.listen", "listen"), "%s and the registry API's %s are one listener: they must differ", b, a)
	}
	if c.State != "" && c.State == c.Cache.Dir {
		r.problem(r.at("cache.dir", "state"), "%.200q is the state folder too: they must differ", c.State)
	}
	misspelt := r.wrong[""] && r.said("", "rules") == 0
	if len(c.Rules) == 0 && !r.wrong["rules"] && !misspelt {
		r.problem(r.at("rules"), "there are none: every tag would be refused")
	}
	r.checkRuleNames(c.Rules)
	r.checkRuleSources(c)
	r.checkTargets(c)
	r.checkPublishers(c.Sources)
	r.checkRegistryNames(c)
	// A rule that was not understood may be the one.
	ahead := func(u Rule) bool { return u.Prefetch }
	if len(c.Cache.Platforms) > 0 && len(r.problems) == 0 && !slices.ContainsFunc(c.Rules, ahead) {
		r.problem(r.at("cache.platforms"), "no rule has prefetch: true, and nothing else goes by platforms")
	}
}

// checkRuleNames reports rules with one match or one name, and names the rules that have no name after their match.
func (r *reader) checkRuleNames(rules []Rule) {
	matches, labels := make(map[names.Match]int), make(map[string]int)
	for i := range rules {
		u, path := &rules[i], fmt.Sprintf("rules[%d]", i)
		if u.Match == (names.Match{}) {
			continue
		}
		at := r.at(path+".match", path)
		if line, dup := matches[u.Match]; dup {
			r.problem(at, "the match %s is already on line %d", u.Match, line)
			continue
		}
		matches[u.Match] = at.line
		if r.wrong[path+".name"] {
			continue
		}
		if u.Name == "" {
			u.Name = u.Match.String()
		}
		at = r.at(path+".name", path+".match")
		if line, dup := labels[u.Name]; dup {
			r.problem(at, "%q is already the name of the rule on line %d", u.Name, line)
		}
		labels[u.Name] = at.line
	}
}

// checkRuleSources gives every rule that asks a source its source, and reports rules that no source can speak for.
func (r *reader) checkRuleSources(c *Config) {
	known := slices.Sorted(maps.Keys(c.Sources))
	covered := make(map[string]coverage, len(known))
	for name, s := range c.Sources {
		covered[name] = cover(s.Pins)
	}
	for i := range c.Rules {
		u, path := &c.Rules[i], fmt.Sprintf("rules[%d]", i)
		at := r.at(path+".source", path)
		switch _, exists := c.Sources[u.Source]; {
		case r.wrong[at.path], u.Mode == "" && (u.Source == "" || exists):
			continue // said already, or to be judged when the mode is known
		case u.Mode == Allow, u.Mode == Deny:
			continue // nobody is asked
		case u.Source == "" && len(known) == 1:
			u.Source = known[0]
		case u.Source == "" && (r.wrong["sources"] || r.wrong[path]):
			continue
		case u.Source == "":
			r.problem(at, "%s needs a source: %s", u.Mode.rule(), oneOf(known))
			continue
		case !exists:
			r.problem(at, "there is no source %q: %s", u.Source, oneOf(known))
			continue
		}
		if !covered[u.Source].meets(u.Match) {
			r.problem(r.at(path+".match"), "no pin of source %s selects any of %s, so %s: add one to %s",
				u.Source, u.Match, unpinned[u.Mode], join(join("sources", u.Source), "pins"))
		}
	}
}

// checkTargets reports sources that would let a tag of one image speak for that of another: all images share a repository
// whose targets do not name them.
// PRODUCT: invariant 7
func (r *reader) checkTargets(c *Config) {
	images := make(map[string]string) // the one that a source speaks for; "" once more were reported
	for _, u := range c.Rules {
		s := c.Sources[u.Source]
		shared := (s.TUF != nil || s.Dir != "") && !s.PerName() && s.Target != "" && !strings.Contains(s.Target, nameWord)
		if !shared || u.Mode != Enforce && u.Mode != Audit || u.Match == (names.Match{}) {
			continue
		}
		one := u.Match.String()
		image, seen := images[u.Source]
		if !seen {
			image = sample(u.Match) // a match of several names is not its own sample
		}
		if image != "" && image != one {
			r.problem(r.at(join(join("sources", u.Source), "target")), "without %s one image is all that the source can speak for, and its "+
				"rules select more, %s among them: write %q", nameWord, one, defaultTarget)
			image = ""
		}
		images[u.Source] = image
	}
}

// checkPublishers reports repositories with more than one publisher.
func (r *reader) checkPublishers(sources map[string]Source) {
	publishers := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		if s.Publish == nil || s.Dir == "" || s.PerName() {
			continue
		}
		if other, dup := publishers[s.Dir]; dup {
			r.problem(r.at(join(join("sources", name), "publish")),
				"source %s publishes %.200q already: a repository has exactly one publisher", other, s.Dir)
			continue
		}
		publishers[s.Dir] = name
	}
}

// unpinned is what becomes of tags for which no root may speak.
var unpinned = map[Mode]string{Enforce: "every tag would be refused", Audit: "every tag would be recorded as one to refuse"}

// oneOf lists names to choose from.
func oneOf(known []string) string {
	if len(known) == 0 {
		return "sources names none"
	}
	return "one of " + strings.Join(known, ", ")
}

// checkRegistryNames reports a default registry that is not known, and names that mean both the gateway and a registry.
func (r *reader) checkRegistryNames(c *Config) {
	known := c.KnownRegistries()
	unsure := func(u Rule) bool { return u.Match == names.Match{} }
	if name := c.DefaultRegistry; name != "" && !r.wrong["registries"] && !slices.ContainsFunc(c.Rules, unsure) {
		if _, ok := known[name]; !ok {
			r.problem(r.at("default_registry"), "%s is not known: add it to registries, or a rule for its images", name)
		}
	}
	for i, host := range c.Hosts {
		name, err := names.Host(host)
		if _, ok := known[name]; ok && err == nil {
			r.problem(r.at(fmt.Sprintf("hosts[%d]", i)), "%s is a registry, and a request for that host means the registry", name)
		}
	}
}

// A coverage tells which matches have a name in common with a list of pins. The zero coverage does not know, and meets
// everything.
type coverage struct {
	pins   names.Index[struct{}]
	around map[string]bool // every match that selects a name some pin is about
}

// cover returns the coverage of the pins, or the zero one if they are not all understood. None at all is such a case.
func cover(pins []Pin) coverage {
	if len(pins) == 0 {
		return coverage{}
	}
	c := coverage{around: map[string]bool{"**": true}}
	for _, p := range pins {
		if p.Match == (names.Match{}) {
			return coverage{}
		}
		c.pins.Add(p.Match, struct{}{})
		name := sample(p.Match)
		c.around[name] = true
		child := true
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if child {
				c.around[name[:i]+"/*"] = true
			}
			c.around[name[:i]+"/**"] = true
			child = false
		}
	}
	return c
}

// meets tells whether m and some pin select a common name. Matches nest or are disjoint, so they have one exactly when
// a name of either is selected by the other.
func (c coverage) meets(m names.Match) bool {
	if c.around == nil || m == (names.Match{}) {
		return true
	}
	_, selected := c.pins.Find(sample(m))
	return selected || c.around[m.String()]
}

// sample returns a name that m selects.
func sample(m names.Match) string {
	name, _ := strings.CutSuffix(m.String(), "**")
	name, _ = strings.CutSuffix(name, "*")
	if strings.HasSuffix(name, "/") || name == "" {
		return name + "x"
	}
	return name
}
