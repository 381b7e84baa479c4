package proxy

import (
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON appends the record as one line of JSON without its end. It is written out by hand because there is one for
// every request, and it would be the most expensive part of many of them.
func (r Record) AppendJSON(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for _, m := range [...]struct{ name, value string }{
		{"decision", r.Decision}, {"client", r.Client}, {"identity", r.Identity}, {"method", r.Method}, {"name", r.Name}, {"tag", r.Tag},
		{"digest", string(r.Digest)}, {"verdict", r.Verdict}, {"mode", r.Mode}, {"reason", r.Reason}, {"rule", r.Rule}, {"source", r.Source},
	} {
		b = appendMember(append(b, ','), m.name, m.value)
	}
	b = append(b, `,"versions":{`...)
	for i, v := range r.Versions {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, v.Role), ':')
		b = strconv.AppendInt(b, v.Version, 10)
	}
	b = append(b, `},"signers":`...)
	b = appendStrings(b, r.Signers)
	b = append(b, `,"served":`...)
	b = appendString(b, string(r.Served))
	b = append(b, `,"checked_age":`...)
	if r.CheckedAge == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendFloat(b, *r.CheckedAge, 'f', -1, 64)
	}
	if r.Grace {
		b = append(b, `,"grace":true`...)
	}
	return append(b, '}')
}

// appendMember appends a member of an object whose name needs no escapes.
func appendMember(b []byte, name, value string) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	return appendString(b, value)
}

// appendStrings appends a list of strings; one that was never made is null.
func appendStrings(b []byte, all []string) []byte {
	if all == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendString appends a string as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
