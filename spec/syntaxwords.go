package spec

import "bytes"

// syntaxReason puts what people write who take other formats for JSON in place of what encoding/json says about it. at is the offset of the
// byte that it does not like, and text what it says.
func syntaxReason(data []byte, at int, text string) string {
	if at < 0 || at >= len(data) {
		return text
	}
	here := data[at:]
	before := bytes.TrimRight(data[:at], " \t\r\n")
	switch {
	case at == 0 && bytes.HasPrefix(here, []byte("\xef\xbb\xbf")):
		return "a byte order mark: save the file as UTF-8 without one"
	case at == 0 && (bytes.HasPrefix(here, []byte("\xff\xfe")) || bytes.HasPrefix(here, []byte("\xfe\xff"))):
		return "UTF-16: save the file as UTF-8"
	case bytes.HasPrefix(here, []byte("//")), bytes.HasPrefix(here, []byte("/*")), here[0] == '#':
		return "a comment, which JSON does not have"
	case here[0] == '\'':
		return `strings are in ", not in '`
	case (here[0] == '}' || here[0] == ']') && bytes.HasSuffix(before, []byte(",")):
		return "a comma with nothing behind it, which JSON does not have"
	}
	return text
}
