package service

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dropText lets go of the program's own code and constants: what starting and
// compiling needed is not needed again, and the kernel brings back from its
// cache what is. Mappings that hold a page of our own, which would be lost, are
// left alone.
func dropText() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // all of this is to save memory: without, it is not saved
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var span []byte // of the mapping whose lines these are; nil: not one of those
	for line := range bytes.Lines(maps) {
		f := bytes.Fields(line)
		switch {
		case len(f) == 6 && bytes.IndexByte(f[0], '-') > 0:
			span = nil
			if mode := string(f[1]); string(f[5]) == self && (mode == "r-xp" || mode == "r--p") {
				span = f[0]
			}
		case len(f) == 5 && bytes.IndexByte(f[0], '-') > 0:
			span = nil // nameless
		case span != nil && len(f) == 3 && string(f[0]) == "Anonymous:" && string(f[1]) == "0":
			letGo(span)
		}
	}
}

// letGo lets go of a mapping, FROM-TO in hexadecimal. An advice that is refused
// changes nothing.
func letGo(span []byte) {
	from, to, _ := bytes.Cut(span, []byte("-"))
	start, err := strconv.ParseUint(string(from), 16, 64)
	if err != nil {
		return
	}
	end, err := strconv.ParseUint(string(to), 16, 64)
	if err != nil || end < start {
		return
	}
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
}
