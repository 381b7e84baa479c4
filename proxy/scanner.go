package proxy

// A scanner walks over JSON that is known to be valid. It neither decodes nor allocates.
type scanner struct{ rest []byte }

// next skips white space and then c, if that is what follows.
func (s *scanner) next(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// space skips white space.
func (s *scanner) space() {
	for len(s.rest) > 0 && isSpace(s.rest[0]) {
		s.rest = s.rest[1:]
	}
}

// value returns the next value as it is written, and moves behind it.
func (s *scanner) value() []byte {
	s.space()
	end := s.end()
	v := s.rest[:end]
	s.rest = s.rest[end:]
	return v
}

// end returns the length of the value that comes next.
func (s *scanner) end() int {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			i = s.quote(i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or a word before the end of its object
			}
			if depth--; depth == 0 {
				return i + 1
			}
		default:
			if depth == 0 && (c == ',' || c == ':' || isSpace(c)) {
				return i
			}
		}
	}
	return len(s.rest)
}

// quote returns where the string ends that begins at i.
func (s *scanner) quote(i int) int {
	for i++; i < len(s.rest) && s.rest[i] != '"'; i++ {
		if s.rest[i] == '\\' {
			i++
		}
	}
	return min(i, len(s.rest)-1)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
