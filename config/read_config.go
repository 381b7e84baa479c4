package config

import "regexp"

// platformForm is os/architecture or os/architecture/variant, as images have them.
var platformForm = regexp.MustCompile(`^[a-z0-9]{1,32}/[a-z0-9_]{1,32}(/[a-z0-9._]{1,32})?$`)

// configFields are the keys at the top of the file. Each may rest on those before it.
func (r *reader) configFields(c *Config) []field {
	return []field{
		{"listen", set(&c.Listen, r.listenAddress)},
		{"hosts", set(&c.Hosts, r.distinct(r.host))},
		{"tls", func(v value) {
			c.TLS = new(TLS)
			r.required(v, "tls", r.tlsFields(c.TLS), "cert", "key")
		}},
		{"admin", func(v value) { r.fields(v, "admin", r.adminFields(&c.Admin)) }},
		{"state", set(&c.State, r.path)},
		{"cache", func(v value) { r.fields(v, "cache", r.cacheFields(&c.Cache)) }},
		{"trust_memory", set(&c.TrustMemory, r.size)},
		{"audit", func(v value) { r.fields(v, "audit", r.auditFields(&c.Audit)) }},
		{"egress_proxy", set(&c.EgressProxy, r.address)},
		{"registries", func(v value) { r.registries(v, c.Registries) }},
		{"default_registry", set(&c.DefaultRegistry, r.registryName)},
		{"sources", func(v value) { r.sources(v, c.Sources) }},
		{"rules", set(&c.Rules, r.rules)},
	}
}

func (r *reader) tlsFields(t *TLS) []field {
	return []field{
		{"cert", set(&t.Cert, r.existing)},
		{"key", set(&t.Key, r.existing)},
	}
}

func (r *reader) adminFields(a *Admin) []field {
	return []field{{"listen", set(&a.Listen, r.listenAddress)}}
}

func (r *reader) cacheFields(c *Cache) []field {
	return []field{
		{"dir", set(&c.Dir, r.path)},
		{"size", set(&c.Size, r.size)},
		{"platforms", set(&c.Platforms, r.distinct(r.word(platformForm, `a platform: write "linux/amd64" or "linux/arm64/v8"`)))},
	}
}

func (r *reader) auditFields(a *AuditLog) []field {
	return []field{
		{"file", set(&a.File, r.optional)},
		{"on_full", set(&a.OnFull, choice(r, "on_full", Drop, Refuse))},
	}
}
