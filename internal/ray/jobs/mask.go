package jobs

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// ShortestSecret is how many bytes a value must have to be masked: to mask a "1"
// would tell it, and make the rest unreadable.
const ShortestSecret = 4

// Secrets returns all strings in the values, which are decoded JSON.
func Secrets(values ...any) []string {
	var out []string
	for _, v := range values {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			out = append(out, Secrets(v...)...)
		case map[string]any:
			for _, member := range v {
				out = append(out, Secrets(member)...)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Mask replaces each secret of ShortestSecret or more bytes in text: as it is, as JSON
// and Python write it between quotes, and, of one that has several lines, each line
// of eight or more characters.
func Mask(text string, secrets []string) string {
	var all []string
	for _, s := range secrets {
		all = append(all, s, quoted(s))
		if lines := strings.Split(s, "\n"); len(lines) > 1 {
			for _, line := range lines {
				if line = strings.TrimSpace(line); len(line) >= 8 {
					all = append(all, line)
				}
			}
		}
	}
	// Long ones first: one may hold another.
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, s := range slices.Compact(all) {
		if len(s) >= ShortestSecret {
			text = strings.ReplaceAll(text, s, "(sensitive value)")
		}
	}
	return text
}

// quoted is s as JSON writes it, without the quotes.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return s
	}
	return strings.TrimSuffix(b.String()[1:], "\"\n")
}
