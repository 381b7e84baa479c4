package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxSize   = 1 << 20 // bytes of a file; no more than one beyond is read
	maxTokens = 1 << 15 // words and marks; four thousand rules have that many, and more takes the parser seconds
	maxDepth  = 16      // lists and mappings that open inside each other in one line; a config needs three
)

// document returns the tree of the one YAML document in data, or nil after it reported what is wrong.
func (r *reader) document(data []byte) ast.Node {
	if len(data) > maxSize {
		r.problem(start, "the file is larger than 1MiB")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !r.isText(data) {
		return nil
	}
	file, err := r.parse(string(data))
	switch {
	case err != nil:
		r.syntax(err)
	case len(r.problems) > 0:
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		r.problem(start, "the file says nothing: it needs sources, and rules that name images")
	case file.Docs[0].Body.Type() != ast.MappingType:
		r.problem(start, "the file is %s, not a mapping: write key: value", kindOf(file.Docs[0].Body))
	default:
		return file.Docs[0].Body
	}
	return nil
}

// isText tells whether data is UTF-8 without control characters, and reports the first place where it is not.
func (r *reader) isText(data []byte) bool {
	p := start
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		data = data[n:]
		switch {
		case c == utf8.RuneError && n == 1:
			r.problem(p, "not UTF-8 text")
			return false
		case c == '\n':
			p.line, p.column = p.line+1, 0
		case c == '\t', c == '\r' && bytes.HasPrefix(data, []byte("\n")):
		case unicode.IsControl(c):
			r.problem(p, "control character %U", c)
			return false
		}
		p.column++
	}
	return true
}

// parse builds the tree, or nil when the text uses what is refused.
func (r *reader) parse(text string) (*ast.File, error) {
	return guard(func() (*ast.File, error) {
		tokens := lexer.Tokenize(text)
		if !r.acceptable(tokens) {
			return nil, nil
		}
		return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	})
}

// guard makes a panic of the YAML parser an error: a config file must never end the process that reloads it.
func guard(parse func() (*ast.File, error)) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser gave up on it")
		}
	}()
	return parse()
}

// syntax reports an error of the YAML parser at its place. Only its message is taken, up to where that quotes the file,
// which may hold what belongs in no log.
func (r *reader) syntax(err error) {
	p, text := start, err.Error()
	var placed interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &placed) {
		p, text = placeOf("", placed.GetToken()), placed.GetMessage()
	}
	text, _, _ = strings.Cut(text, `"`)
	r.problem(p, "not YAML: %.200s", strings.TrimRight(text, ": "))
}

// unwanted are the parts of YAML that make a text mean other than it reads, or that have no use in one config file.
var unwanted = map[token.Type]string{
	token.AnchorType:         "anchors (&) are not understood: the file means what it reads; write the value out",
	token.AliasType:          `aliases (*) are not understood: the file means what it reads; a value that begins with a star stands in quotes, "**"`,
	token.TagType:            "tags (!) are not understood: the file means what it reads; a value that begins with ! stands in quotes",
	token.MergeKeyType:       "merge keys (<<) are not understood: the file means what it reads; write the values out",
	token.MappingKeyType:     "keys after a question mark are not understood: write key: value",
	token.DirectiveType:      "directives (%) are not understood: a value that begins with a percent sign stands in quotes",
	token.DocumentHeaderType: "a second document begins here: a config is one document",
	token.DocumentEndType:    "the document ends here: a config is one document, to the end of the file",
}

// acceptable tells whether the parser may have the tokens, and reports every use of what is unwanted, or that the text
// would take the parser too long or too deep.
func (r *reader) acceptable(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		r.problem(placeOf("", tokens[maxTokens]), "more than %d words and marks up to here", maxTokens)
		return false
	}
	before, nested, begun := len(r.problems), depth{}, false
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if nested.after(t) > maxDepth {
			r.problem(placeOf("", t), "nested deeper than %d", maxDepth)
			return false
		}
		repeated := t.Type == token.AliasType && t.Prev != nil && t.Prev.Type == token.AliasType
		header := t.Type == token.DocumentHeaderType && !begun
		if why, ok := unwanted[t.Type]; ok && !repeated && !header {
			r.problem(placeOf("", t), "%s", why)
		}
		begun = true
	}
	return len(r.problems) == before
}

// depth counts what opens inside each other in one line: brackets that are not closed, and dashes in a row. Nesting by
// indentation needs no count, the size of the file bounds it well.
type depth struct{ brackets, dashes, line int }

// after returns the depth once t has been seen.
func (d *depth) after(t *token.Token) int {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		d.brackets++
	case token.MappingEndType, token.SequenceEndType:
		d.brackets--
	}
	if line := t.Position.Line; t.Type != token.SequenceEntryType || line != d.line {
		d.dashes, d.line = 0, line
	}
	if t.Type == token.SequenceEntryType {
		d.dashes++
	}
	return max(d.brackets, d.dashes)
}
