package trust

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Message returns the refusal as one line that stands alone: what, why, what to do, reason and id. It carries validated
// names and our own words only, because clients print it raw. It is empty for a decision that allows.
func (d Decision) Message() string {
	if d.Verdict == Allow {
		return ""
	}
	return d.sentence() + " [" + string(d.Reason) + " " + d.ID + "]"
}

func (d Decision) sentence() string {
	switch d.Reason {
	case NoRule:
		return fmt.Sprintf("%s is refused: no rule of the gateway matches it; add a rule whose match covers %s, or pull by digest", d.Name, d.Name.Repository)
	case RuleDeny:
		return fmt.Sprintf("%s is refused: rule %s denies it", d.Name, d.Rule)
	case ExceptionExpired:
		return fmt.Sprintf("%s is refused: %s; give the rule a later end, or another mode", d.Name, cause(d.Err))
	case SignerMissing, SignersDisagree:
		return fmt.Sprintf("%s is not signed as rule %s asks: %s; %s", d.Name, d.Rule, cause(d.Err), d.signIt())
	case UnsignedTag:
		// Clients look for tags that are not there with every pull: signatures, for one.
		return d.Name.String() + " is not signed: " + d.basis() + " lists " + count(d.Statement.Listed) + " of this repository, not " + d.Name.Tag + "; " + d.signIt()
	case NoTrustData:
		return fmt.Sprintf("%s is not signed: source %s has no trust data for %s; %s", d.Name, d.Source, d.Name.Repository, d.signIt())
	case MetadataExpired:
		return fmt.Sprintf("%s is refused: trust data of %s has expired: %s; its publisher must sign again", d.Name, d.basis(), cause(d.Err))
	case MetadataStale, SourceUnreachable:
		return fmt.Sprintf("%s cannot be verified now: %s: %s; try again when the source answers", d.Name, d.basis(), cause(d.Err))
	case RootNotPinned:
		return fmt.Sprintf("%s is refused: trust data of %s does not verify: %s; compare the pin with \"tagwarden check --online %s\"", d.Name, d.basis(), cause(d.Err), d.Name.Repository)
	case ClockBehind:
		return fmt.Sprintf("%s cannot be verified now: %s; set the gateway's clock", d.Name, cause(d.Err))
	case StateUnavailable:
		return fmt.Sprintf("%s cannot be verified now: trust state of source %s: %s", d.Name, d.Source, cause(d.Err))
	case SignedDigestGone:
		return fmt.Sprintf("%s is signed, but its content is gone from the registry and not in the cache: %s", d.Name, cause(d.Err))
	case LengthMismatch, MediaTypeMismatch, UpstreamInvalid, UpstreamDown:
		return fmt.Sprintf("%s cannot be served: %s", d.Name, cause(d.Err))
	}
	return fmt.Sprintf("%s is refused: trust data of %s does not verify: %s", d.Name, d.basis(), cause(d.Err))
}

// basis names the source, the version of its targets and the age of the check.
func (d Decision) basis() string {
	st := d.Statement
	if st.Checked.IsZero() {
		return "source " + d.Source
	}
	version := ""
	for _, v := range st.Versions {
		if v.Role == "targets" {
			version = "targets v" + strconv.FormatInt(v.Version, 10) + ", "
		}
	}
	return "source " + d.Source + " (" + version + "checked " + round(d.Time.Sub(st.Checked)).String() + " ago)"
}

func (d Decision) signIt() string {
	n := d.Name.String()
	if d.Name.Tag == "" {
		n += ":TAG"
	}
	return `sign it with "` + d.SignWith + " " + n + `"`
}

func count(n int) string {
	if n == 1 {
		return "1 signed tag"
	}
	return strconv.Itoa(n) + " signed tags"
}

// maxCause is the most bytes of a message that say why.
const maxCause = 600

// cause returns the error as part of a line: printable ASCII, and not without end, whoever had a word in it.
func cause(err error) string {
	if err == nil {
		return "no further cause"
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, err.Error())
	if len(text) > maxCause {
		text = text[:maxCause] + "..."
	}
	return text
}

// expired names the files that have ended.
func expired(st Statement, now time.Time) string {
	var past []string
	for _, v := range st.Versions {
		if now.After(v.Expires) {
			past = append(past, fmt.Sprintf("%s v%d on %s", v.Role, v.Version, v.Expires.UTC().Format(time.RFC3339)))
		}
	}
	return strings.Join(past, ", ")
}

// round makes an age readable.
func round(d time.Duration) time.Duration {
	if d < 0 {
		return 0
	}
	return d.Round(time.Second)
}
