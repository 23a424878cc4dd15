package dates

import (
	"errors"
	"strings"
)

var (
	// errZone: the text is no zone at all. fail2ban has no date for such a line.
	errZone = errors.New("neither a known abbreviation nor an offset as +0200")
	// errAbbreviation: it looks like one, but is unknown. fail2ban fails on
	// such a line and drops it.
	errAbbreviation = errors.New("unknown abbreviation")
)

// zoneOffsets are the abbreviations that fail2ban knows, by the minutes that
// it takes them to be east of UTC, whatever the date. (It lists ChST too, but
// takes capital letters only.)
var zoneOffsets = makeZones(map[int16]string{
	-720: "Y",
	-660: "NUT SST X",
	-600: "CKT HAST HST TAHT TKT W",
	-570: "MART MIT",
	-540: "AKST GAMT GIT HADT HNY V",
	-480: "AKDT CIST HAY HNP PST PT U",
	-420: "HAP HNR MST PDT T",
	-360: "CST EAST GALT HAR HNC MDT S",
	-300: "CDT COT EASST ECT EST ET HAC HNE PET R",
	-270: "HLV VET",
	-240: "AST BOT CLT COST EDT FKT GYT HAE HNA PYT Q",
	-210: "HNT NST NT",
	-180: "ADT ART BRT CLST FKST GFT HAA P PMST PYST SRT UYT WGT",
	-150: "HAT NDT",
	-120: "BRST FNT O PMDT UYST WGST",
	-60:  "AZOT CVT EGT N",
	0:    "EGST GMT UTC WET WT Z",
	60:   "A CET DFT WAT WEDT WEST",
	120:  "B CAT CEDT CEST EET SAST WAST",
	180:  "C EAT EEDT EEST IDT MSK",
	210:  "IRST",
	240:  "AMT AZT D GET GST KUYT MSD MUT RET SAMT SCT",
	270:  "AFT IRDT",
	300:  "AMST AQTT AZST E HMT MAWT MVT PKT TFT TJT TMT UZT YEKT",
	330:  "SLT",
	345:  "NPT",
	360:  "ALMT BIOT BTT F IOT KGT NOVT OMST YEKST",
	390:  "CCT MMT",
	420:  "CXT DAVT G HOVT ICT KRAT NOVST OMSST THA WIB",
	480:  "ACT AWST BDT BNT CAST H HKT IRKT KRAST MYT PHT SGT ULAT WITA WST",
	540:  "AWDT I IRKST JST KST PWT TLT WDT WIT YAKT",
	570:  "ACST",
	600:  "AEST K PGT VLAT YAKST YAPT",
	630:  "ACDT LHST",
	660:  "AEDT L LHDT MAGT NCT PONT SBT VLAST VUT",
	690:  "NFT",
	720:  "ANAST ANAT FJT GILT M MAGST MHT NZST PETST PETT TVT WFT",
	780:  "FJST NZDT",
})

func makeZones(byOffset map[int16]string) map[string]int16 {
	zones := map[string]int16{}
	for minutes, names := range byOffset {
		for name := range strings.FieldsSeq(names) {
			zones[name] = minutes
		}
	}
	return zones
}

// parseZone returns the minutes east of UTC of a zone: an abbreviation, an
// offset (+hh, +hhmm, +hh:mm), or both, which are added.
func parseZone(text []byte) (minutes int, err error) {
	letters := 0
	for letters < len(text) && 'A' <= text[letters] && text[letters] <= 'Z' {
		letters++
	}
	name, rest := text[:letters], text[letters:]
	if letters == 2 || letters > 5 {
		return 0, errZone
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, errZone
	}
	if letters == 0 {
		return offset, nil
	}
	known, ok := zoneOffsets[string(name)]
	if !ok {
		return 0, errAbbreviation
	}
	return int(known) + offset, nil
}

// parseOffset reads +hh, +hhmm or +hh:mm in minutes; nothing is 0.
func parseOffset(text []byte) (minutes int, ok bool) {
	if len(text) == 0 {
		return 0, true
	}
	sign := 1
	switch text[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	rest := text[1:]
	if len(rest) == 0 || rest[0] > '1' {
		return 0, false
	}
	hours, rest, ok := twoDigits(rest)
	if !ok || len(rest) == 0 {
		return sign * hours * 60, ok
	}
	if rest[0] == ':' {
		rest = rest[1:]
	}
	minutes, rest, ok = twoDigits(rest)
	return sign * (hours*60 + minutes), ok && len(rest) == 0
}

// twoDigits reads two decimal digits of any script in front of text.
func twoDigits(text []byte) (n int, rest []byte, ok bool) {
	for range 2 {
		d, size := digit(text)
		if size == 0 {
			return 0, nil, false
		}
		n = n*10 + d
		text = text[size:]
	}
	return n, text, true
}
