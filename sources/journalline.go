package sources

import (
	"bytes"
	"strconv"
	"strings"
)

// The fields that a line is made of, in the order in which readers deliver them.
const (
	fieldMessage = iota
	fieldSource  // time at the sender, microseconds since the epoch in digits
	fieldHostname
	fieldIdentifier
	fieldComm
	fieldSyslogPID
	fieldPID
	fieldMonotonic // time at the sender since boot, microseconds in digits
	numFields
)

// journalFields are their names. With the message alone only the first two are read.
var journalFields = [numFields]string{
	"MESSAGE", "_SOURCE_REALTIME_TIMESTAMP", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "SYSLOG_PID", "_PID",
	"_SOURCE_MONOTONIC_TIMESTAMP",
}

// journalEntry is what is read of one journal entry. The values are valid until
// the next one is read; an absent field is empty.
type journalEntry struct {
	realtime  uint64 // when journald received it, microseconds since the epoch
	monotonic uint64 // the same, microseconds since boot
	fields    [numFields][]byte
	extra     [][][]byte // the values of further fields that were asked for
}

// stamp returns the entry's time in nanoseconds since the epoch: the sender's
// where there is one.
func (e *journalEntry) stamp() int64 {
	if n, err := strconv.ParseInt(string(e.fields[fieldSource]), 10, 64); err == nil {
		return n * 1000
	}
	return int64(e.realtime) * 1000
}

// appendLine appends the entry as one line with its '\n', and says whether it was
// cut. The line is laid out as fail2ban does:
//
//	HOST IDENT[PID]: MESSAGE
//	HOST kernel: [   12.345678] MESSAGE
//
// or is the message alone, without the '\r' that Docker's journald driver leaves
// at its end. A line feed, carriage return or NUL inside is escaped: whoever can
// write an entry must not be able to write two lines.
func (e *journalEntry) appendLine(dst []byte, messageOnly bool) (line []byte, cut bool) {
	start := len(dst)
	if messageOnly {
		dst = appendEscaped(dst, bytes.TrimSuffix(e.fields[fieldMessage], []byte{'\r'}))
	} else {
		dst = e.appendFull(dst)
	}
	dst = append(dst, '\n')
	if short, n := cutLong(dst[start:]); n > 0 {
		return dst[:start+len(short)], true
	}
	return dst, false
}

func (e *journalEntry) appendFull(dst []byte) []byte {
	if host := e.fields[fieldHostname]; len(host) > 0 {
		dst = append(appendEscaped(dst, host), ' ')
	}
	ident := e.fields[fieldIdentifier]
	if len(ident) == 0 {
		ident = e.fields[fieldComm]
	}
	if len(ident) > 0 {
		dst = appendEscaped(dst, ident)
		pid := e.fields[fieldSyslogPID]
		if len(pid) == 0 {
			pid = e.fields[fieldPID]
		}
		if len(pid) > 0 {
			dst = append(dst, '[')
			dst = appendPID(dst, pid)
			dst = append(dst, ']')
		}
		dst = append(dst, ':', ' ')
		if len(pid) == 0 && string(ident) == "kernel" {
			dst = append(e.appendUptime(append(dst, '[')), ']', ' ')
		}
	}
	return appendEscaped(dst, e.fields[fieldMessage])
}

// appendUptime appends the time since boot in seconds, as "%12.6f".
func (e *journalEntry) appendUptime(dst []byte) []byte {
	usec := e.monotonic
	if n, err := strconv.ParseUint(string(e.fields[fieldMonotonic]), 10, 64); err == nil {
		usec = n
	}
	text := strconv.FormatFloat(float64(usec)/1e6, 'f', 6, 64)
	dst = append(dst, "            "[min(len(text), 12):]...)
	return append(dst, text...)
}

// appendPID appends a process id. As with fail2ban, what Python takes for an
// integer (0x1f) is written in decimal, anything else as it is.
func appendPID(dst, pid []byte) []byte {
	text := string(pid)
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' || strings.HasPrefix(text, "_") {
		return appendEscaped(dst, pid) // a leading zero is none of Python's numbers
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return strconv.AppendInt(dst, n, 10)
	}
	return appendEscaped(dst, pid)
}

// appendEscaped appends the text with \n, \r and \0 in place of line feed, carriage return and NUL.
func appendEscaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexAny(text, "\n\r\x00")
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(append(dst, text[:i]...), '\\')
		switch text[i] {
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		default:
			dst = append(dst, '0')
		}
		text = text[i+1:]
	}
}
