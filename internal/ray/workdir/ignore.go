package workdir

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ray matches paths with a copy of pathspec's old GitWildMatchPattern
// (ray/_private/thirdparty/pathspec/patterns/gitwildmatch.py). It differs from
// git, and so does this port of it:
//
//   - paths have no trailing slash: "build/" leaves out what is in build, and
//     keeps build itself;
//   - the root is the path ".", which "*", ".*", "?" and "**" match: the whole
//     tree is left out, whatever comes after;
//   - "!" takes back what the same file left out, never what another file did,
//     and never what lies below a directory that was left out;
//   - lines are stripped on both sides, "\ " or not.

// spec is the patterns of one ignore file, or the excludes.
type spec struct {
	// source names the file in messages; base is its directory, "" for the root.
	source, base string
	patterns     []pattern
}

// pattern is one line of a spec.
type pattern struct {
	text string
	// ignores is false for a line that begins with "!".
	ignores bool
	// expression is what pathspec makes of the line.
	expression *regexp.Regexp
	// name is the line where it is a name and nothing else.
	name string
}

// excludesSource is the source of a spec that is no file.
const excludesSource = "excludes"

// newSpec compiles the lines. Blank lines and comments count for nothing.
func newSpec(source, base string, lines []string) (*spec, error) {
	s := &spec{source: source, base: base}
	for i, line := range lines {
		p, err := newPattern(line)
		if err != nil {
			e := &PatternError{Source: source, Line: i + 1, Pattern: strip(line), Reason: err.Error()}
			if source == excludesSource {
				e.Line = 0
			}
			return nil, e
		}
		if p != nil {
			s.patterns = append(s.patterns, *p)
		}
	}
	return s, nil
}

// fileLines splits an ignore file as Python's text mode does: "\r\n" and "\r" end
// lines too. Python refuses what is no UTF-8, and keeps a byte order mark as a part of
// the first pattern.
func fileLines(source string, content []byte) ([]string, error) {
	if !utf8.Valid(content) {
		return nil, &PatternError{Source: source, Line: 1, Reason: "the file is not UTF-8"}
	}
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(content)), "\n"), nil
}

// match returns the pattern that leaves the path out, or nil. The path is
// relative to the root; the last pattern that matches decides.
func (s *spec) match(path string) *pattern {
	switch {
	case path == s.base:
		path = "."
	case s.base != "":
		path = path[len(s.base)+1:]
	}
	for i := len(s.patterns) - 1; i >= 0; i-- {
		if p := &s.patterns[i]; p.matches(path) {
			if p.ignores {
				return p
			}
			return nil
		}
	}
	return nil
}

func (p *pattern) matches(path string) bool {
	// "." and "$" see line ends in a path.
	if p.name == "" || strings.Contains(path, "\n") {
		return p.expression.MatchString(path)
	}
	return hasSegment(path, p.name)
}

// hasSegment reports whether name is one of the path's segments. It is what
// ^(?:.+/)?name(?:/.*)?$ matches in a path of one line, and ten times as fast.
func hasSegment(path, name string) bool {
	for at := 0; ; {
		i := strings.Index(path[at:], name)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(name)
		// ".+/" wants something before the slash.
		if (i == 0 || i > 1 && path[i-1] == '/') && (end == len(path) || path[end] == '/') {
			return true
		}
		at = i + 1
	}
}

// strip is Python's str.strip: it takes the separators 0x1C to 0x1F for spaces too.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

var errNoName = errors.New("there is no name in it")

// newPattern compiles one line; nil is a line without meaning.
func newPattern(line string) (*pattern, error) {
	text := strip(line)
	if text == "" || text == "/" || strings.HasPrefix(text, "#") {
		return nil, nil
	}
	p := &pattern{text: text, ignores: true}
	rest := text
	if after, ok := strings.CutPrefix(rest, "!"); ok {
		p.ignores, rest = false, after
	}
	rest = strings.TrimPrefix(rest, `\`)
	if rest == "" {
		return nil, errNoName
	}
	if p.ignores && isName(rest) {
		p.name = rest
	}
	expression, err := translate(segments(rest), p.ignores)
	if err != nil {
		return nil, err
	}
	p.expression, err = regexp.Compile(expression)
	return p, err
}

// isName reports whether a pattern is a name and nothing else.
func isName(p string) bool {
	return !strings.ContainsAny(p, "/*?[\\\n") && !strings.ContainsRune(p, utf8.RuneError)
}

// segments splits a pattern and says where it is anchored, in "**".
func segments(p string) []string {
	segs := strings.Split(p, "/")
	switch {
	case segs[0] == "":
		segs = segs[1:]
	case len(segs) == 1 || len(segs) == 2 && segs[1] == "":
		if segs[0] != "**" {
			segs = append([]string{"**"}, segs...)
		}
	}
	if last := len(segs) - 1; last > 0 && segs[last] == "" {
		segs[last] = "**"
	}
	return segs
}

// translate makes the regular expression that pathspec makes. Python's "$" also
// matches before a last newline, hence "\n?" at the end.
func translate(segs []string, ignores bool) (string, error) {
	var b strings.Builder
	b.WriteString(`\A`)
	slash := false
	end := len(segs) - 1
	for i, seg := range segs {
		switch {
		case seg == "**" && i == 0 && i == end:
			b.WriteString(`.+`)
		case seg == "**" && i == 0:
			b.WriteString(`(?:.+/)?`)
			slash = false
		case seg == "**" && i == end:
			b.WriteString(`/.*`)
		case seg == "**":
			b.WriteString(`(?:/.+)?`)
			slash = true
		default:
			if slash {
				b.WriteByte('/')
			}
			slash = true
			if seg == "*" {
				b.WriteString(`[^/]+`)
				continue
			}
			if err := glob(&b, seg); err != nil {
				return "", err
			}
			if i == end && ignores {
				b.WriteString(`(?:/.*)?`)
			}
		}
	}
	b.WriteString(`\n?\z`)
	return b.String(), nil
}

// glob writes one segment.
func glob(b *strings.Builder, seg string) error {
	runes := []rune(seg)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; r {
		case '\\':
			// At the end of the segment it stands for nothing.
			if i++; i < len(runes) {
				b.WriteString(regexp.QuoteMeta(string(runes[i])))
			}
		case '*':
			b.WriteString(`[^/]*`)
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			end := closing(runes, i+1)
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			if err := class(b, runes[i+1:end]); err != nil {
				return err
			}
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return nil
}

// closing finds the bracket that ends the expression whose content begins at
// start, or -1. One that comes first is a member.
func closing(runes []rune, start int) int {
	j := start
	if j < len(runes) && runes[j] == '!' {
		j++
	}
	if j < len(runes) && runes[j] == ']' {
		j++
	}
	for ; j < len(runes); j++ {
		if runes[j] == ']' {
			return j
		}
	}
	return -1
}

// class writes a bracket expression. Only "!" negates; "\" and "^" are members,
// and there are no named classes: the content becomes one of Python's sets as it is.
func class(b *strings.Builder, content []rune) error {
	b.WriteByte('[')
	if content[0] == '!' {
		b.WriteByte('^')
		content = content[1:]
	}
	for i := 0; i < len(content); i++ {
		low, high := content[i], content[i]
		if i+2 < len(content) && content[i+1] == '-' {
			high = content[i+2]
			i += 2
		}
		if high < low {
			return fmt.Errorf("the range %c-%c runs backwards", low, high)
		}
		fmt.Fprintf(b, `\x{%x}-\x{%x}`, low, high)
	}
	b.WriteByte(']')
	return nil
}
