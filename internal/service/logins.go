package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// rememberLogins is how long somebody who has logged in is remembered.
const rememberLogins = 30 * 24 * time.Hour

// maxLogins is the number of addresses that are remembered at most; those who
// logged in longest ago are forgotten first.
const maxLogins = 10_000

// maxWtmp is how much of the end of wtmp is read.
const maxWtmp = 16 << 20

// acceptedLine is what sshd writes of a login (auth.c, auth_log). What stands
// before it in the line holds no other "]: ": an attacker's user name comes
// behind sshd's own.
var acceptedLine = regexp.MustCompile(`^[^\]]*\bsshd(?:-session)?\[\d+\]: Accepted [\w/-]+ for \S+ from (\S+) port \d+(?: ssh2)?(?:: .*)?$`)

// acceptedIn calls f for each login that lines of an sshd tell of.
func acceptedIn(data []byte, f func(netip.Addr)) {
	sign := []byte("]: Accepted ")
	for {
		at := bytes.Index(data, sign)
		if at < 0 {
			return
		}
		begin := bytes.LastIndexByte(data[:at], '\n') + 1
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data) - at
		}
		if m := acceptedLine.FindSubmatch(bytes.TrimRight(data[begin:at+end], "\r")); m != nil {
			if a, err := netip.ParseAddr(string(m[1])); err == nil {
				f(a.Unmap().WithZone(""))
			}
		}
		data = data[at+end:]
	}
}

// readWtmp calls f for each login from another machine that wtmp(5) has.
func readWtmp(path string, f func(a netip.Addr, at time.Time)) error {
	const (
		size        = 384 // struct utmp on Linux, 64 bit
		userProcess = 7
	)
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open login records: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > maxWtmp {
		if _, err := file.Seek(-maxWtmp/size*size, io.SeekEnd); err != nil {
			return fmt.Errorf("read login records: %w", err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxWtmp))
	if err != nil {
		return fmt.Errorf("read login records: %w", err)
	}
	for ; len(data) >= size; data = data[size:] {
		if binary.NativeEndian.Uint16(data) != userProcess {
			continue
		}
		var a netip.Addr
		if raw := [16]byte(data[348:364]); bytes.Equal(raw[4:], make([]byte, 12)) {
			a = netip.AddrFrom4([4]byte(raw[:4]))
		} else {
			a = netip.AddrFrom16(raw).Unmap()
		}
		if !a.IsUnspecified() {
			f(a, time.Unix(int64(binary.NativeEndian.Uint32(data[340:])), 0))
		}
	}
	return nil
}

// readSessions calls f for the other end of each session that is open now, as
// systemd-logind keeps them.
func readSessions(dir string, f func(netip.Addr)) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeType != 0 || strings.HasSuffix(e.Name(), ".ref") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			if host, ok := strings.CutPrefix(strings.TrimSpace(line), "REMOTE_HOST="); ok {
				if a, err := netip.ParseAddr(host); err == nil {
					f(a.Unmap().WithZone(""))
				}
			}
		}
	}
	return nil
}

// configured returns the ports that sshd_config(5) names.
func (w *wards) configured() []uint16 {
	var out []uint16
	for _, pattern := range w.sshd {
		paths, _ := filepath.Glob(pattern) // the patterns are ours
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '=' || r == '\n' || r == '"' })
				if len(words) < 2 || !strings.EqualFold(words[0], "Port") {
					continue
				}
				if n, err := strconv.ParseUint(words[1], 10, 16); err == nil {
					out = append(out, uint16(n))
				}
			}
		}
	}
	return out
}
