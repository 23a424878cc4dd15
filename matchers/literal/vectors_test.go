package literal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// kernels are those that this machine has.
func kernels() (list []kernel) {
	if hasVectors {
		list = append(list, nibbles8, nibbles16)
	}
	if hasVBMI {
		list = append(list, bytes8)
	}
	return list
}

// vectorTables are tables for some texts for each kernel, divided among groups by a sample.
func vectorTables(texts ...string) (all []*tables) {
	var probes []probe
	for _, text := range texts {
		fold := strings.Repeat("\x00", len(text))
		if lower, ok := strings.CutPrefix(text, "i:"); ok {
			text, fold = lower, strings.Repeat("\x20", len(lower))
		}
		probes = append(probes, probe{text: Text{Bytes: text, Fold: fold}})
	}
	sample := []byte(strings.Join(texts, " ") + "\n")
	for _, k := range kernels() {
		t := newTables(probes, vectorEngines[0], countWindows(sample), sample)
		t.groups, _ = newDivision(t.entries, probes, sample).divide(k)
		all = append(all, &t)
	}
	return all
}

// samePlaces compares findVectors with findScalar.
func samePlaces(t *testing.T, tab *tables, data []byte) {
	t.Helper()
	dst, twin := make([]uint32, chunk), make([]uint32, chunk)
	for from := 0; from < len(data); from += chunk {
		to := min(from+chunk, len(data))
		n, high := tab.findVectors(dst, data, from, to)
		m, twinHigh := tab.findScalar(twin, data, from, to)
		if !slices.Equal(dst[:n], twin[:m]) || high != twinHigh {
			t.Fatalf("kernel %d: %q: %v %v, twin %v %v", tab.groups.kernel, data, dst[:n], high, twin[:m], twinHigh)
		}
	}
}

// FuzzFindVectors compares every kernel with what does the same a place at a time.
func FuzzFindVectors(f *testing.F) {
	if !hasVectors {
		f.Skip("no AVX2")
	}
	var all []*tables
	texts := []string{"Failed password", "i:failed", "aaaa", "\x00\x01\x7f\x7f", "i:abcd", "Connection", "closed by", "user unknown",
		"abca", "bcab", "{[@`", "0123", "Invalid user", "error: ", "auth", "!!!!", "~~~~", "i:zzzz", "9876"}
	for n := range len(texts) {
		all = append(all, vectorTables(texts[:n+1]...)...)
	}
	f.Add([]byte("FAILED Failed password for aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	f.Add([]byte("abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcab\xe1\xe2\xe3\xe4\n"))
	f.Add(bytes.Repeat([]byte("Invalid user \x00\x01\x7f\x7f0123{[@`\n"), 700))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, tab := range all {
			samePlaces(t, tab, data)
			samePlaces(t, tab, data[:len(data)/2]) // and bytes behind the end
		}
	})
}

// TestFindAtPageEnd scans buffers that end, and begin, where no memory is.
func TestFindAtPageEnd(t *testing.T) {
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 6*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	usable := mem[page : 5*page]
	if err := unix.Mprotect(usable, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		t.Fatal(err)
	}
	copy(usable, bytes.Repeat([]byte("some Failed password\n"), len(usable)))
	var all []*Scanner
	for _, e := range append(slices.Clip(goEngines), vectorEngines...) {
		c := choice{engine: e, options: []offer{{option: option{probe{text: Text{Bytes: "Failed", Fold: strings.Repeat("\x00", 6)}}}}}}
		if !e.vectors {
			all = append(all, c.build(countWindows(nil), nil))
			continue
		}
		for _, k := range kernels() {
			s := c.build(countWindows(nil), nil)
			s.groups, _ = newDivision(s.entries, s.probes, nil).divide(k)
			all = append(all, s)
		}
	}
	for _, s := range all {
		var l Lines
		for size := range 200 {
			for _, n := range []int{size, len(usable) - size} {
				s.Scan(&l, usable[len(usable)-n:])
				end := fmt.Sprint(l.hits)
				s.Scan(&l, append(usable[:0:0], usable[len(usable)-n:]...))
				if end != fmt.Sprint(l.hits) {
					t.Fatalf("%d bytes at the end of a page: %s", n, end)
				}
				s.Scan(&l, usable[:n])
			}
		}
	}
}
