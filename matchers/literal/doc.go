// Package literal finds the few lines of a block that a set of rules could
// match, at the price of a memory scan.
//
// Nearly every rule has texts one of which must stand in a line that it
// matches. Needs finds them in a parsed regular expression; a Scanner looks for
// those of all rules at once in a block of lines, and yields the lines that hold
// any, each with the rules that it is a candidate for. What it does not yield,
// no rule matches: a candidate is only ever too many, never too few.
//
// Rules see a line without its date, so that a text may stand on both sides of
// it: "Failed" is in "Fai 2026-11-22T13:00:00 led". A text is therefore looked
// for in two halves, one of which a single cut leaves whole, and a half that is
// found alone counts where the rest of the text stands beyond the cut. Most dates
// end where a word ends and cannot have stood in one: then it may be a word of the
// text that is looked for.
//
// Where a rule has no text that is long enough, its digits are written out, for
// lines of ASCII alone; every other line is a candidate then.
//
// Which texts, and which four of their bytes, is chosen by a sample of the
// lines. On amd64 all windows of four bytes are looked at, 16 or 32 at once with
// AVX2, 64 with the byte permutations of AVX-512 (VBMI); elsewhere every third
// where the texts are long enough, else every one.
package literal
