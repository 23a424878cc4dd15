package matchers

import "unsafe"

// borrowed returns the text as a string without a copy: the one that
// netip.ParseAddr would otherwise need for each failure. It is valid as long as
// the text does not change.
func borrowed(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }
