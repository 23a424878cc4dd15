package ignore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/pipeline"
)

// maxValue is the number of bytes of a tag's value that a command gets: the
// environment has a bound, and many values wait at once.
const maxValue = 4 << 10

// killGrace is how long a command's output may stay open once it has ended.
const killGrace = time.Second

// command is an ignorecommand with its tags found. A value goes into the text
// of the script where no character of it means anything to a shell, and by an
// environment variable otherwise, so that no shell ever reads it as code.
type command struct {
	parts  []part
	tags   []string // each once, in the order of their first use
	google bool     // the stock script that tells false Googlebots: see google.go
}

// part is literal text, or the value of a tag.
type part struct {
	text   string
	tag    int  // index in tags; -1: text
	quoted bool // the tag stands inside quotes
}

// parseCommand finds the tags. What no value is known for stays as it is.
func parseCommand(text string) *command {
	c := &command{google: isGooglebotScript(text)}
	quote := byte(0)
	from := 0
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\' && quote != '\'':
			i++
		case quote == 0 && (b == '\'' || b == '"'):
			quote = b
		case b == quote:
			quote = 0
		case b == '<':
			end := strings.IndexByte(text[i:], '>')
			if end < 0 || !isTag(text[i+1:i+end]) {
				continue
			}
			c.literal(text[from:i])
			c.parts = append(c.parts, part{tag: c.tag(text[i+1 : i+end]), quoted: quote != 0})
			i += end
			from = i + 1
		}
	}
	c.literal(text[min(from, len(text)):])
	return c
}

func (c *command) literal(text string) {
	if text != "" {
		c.parts = append(c.parts, part{text: text, tag: -1})
	}
}

func (c *command) tag(name string) int {
	i := slices.Index(c.tags, name)
	if i < 0 {
		i = len(c.tags)
		c.tags = append(c.tags, name)
	}
	return i
}

// isTag says whether a value is known for a tag.
func isTag(name string) bool {
	switch name {
	case "ip", "fid", "family", "ip-rev", "ip-host", "failures", "ipfailures", "ipjailfailures", "time", "bantime",
		"bancount", "restored", "matches", "ipmatches", "ipjailmatches", "br", "sp":
		return true
	}
	field, ok := strings.CutPrefix(name, "F-")
	return ok && field != "" && strings.Trim(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// usesFields says whether a template needs the named groups of the filter.
func usesFields(tags []string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.HasPrefix(t, "F-") })
}

// values returns the value of each tag; they hold nothing of the batch. That of
// <ip-host> is left for later: it is looked up.
func values(tags []string, f *pipeline.Failure, b pipeline.Ban) []string {
	out := make([]string, len(tags))
	for i, t := range tags {
		v := value(t, f, b)
		out[i] = strings.ReplaceAll(strings.Clone(v[:min(len(v), maxValue)]), "\x00", "")
	}
	return out
}

// value returns the value of one tag.
func value(tag string, f *pipeline.Failure, b pipeline.Ban) string {
	switch tag {
	case "ip", "fid":
		return f.ID.String()
	case "family":
		if p, ok := f.ID.Prefix(); ok && p.Addr().Is4() {
			return "inet4"
		} else if ok {
			return "inet6"
		}
	case "ip-rev":
		if a, ok := f.ID.Addr(); ok {
			return reverse(a)
		}
	case "failures", "ipfailures", "ipjailfailures":
		return strconv.Itoa(b.Failures)
	case "time":
		return strconv.FormatFloat(float64(f.AtNanos)/1e9, 'f', -1, 64)
	case "bantime":
		if b.UntilNanos == pipeline.Permanent {
			return "-1"
		}
		return strconv.FormatInt((b.UntilNanos-b.AtNanos)/int64(time.Second), 10)
	case "bancount", "restored":
		return "0"
	case "matches", "ipmatches", "ipjailmatches":
		return string(f.Text[:min(len(f.Text), maxValue)])
	case "br":
		return "\n"
	case "sp":
		return " "
	}
	name, ok := strings.CutPrefix(tag, "F-")
	if !ok {
		return ""
	}
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	for _, field := range f.Fields {
		if field.Name == name {
			return string(field.Value[:min(len(field.Value), maxValue)])
		}
	}
	return ""
}

// reverse returns an address as the start of its name in DNS: 1.2.0.192.
func reverse(a netip.Addr) string {
	var out []byte
	if a.Is4() {
		b := a.As4()
		for i := 3; i >= 0; i-- {
			out = append(strconv.AppendUint(out, uint64(b[i]), 10), '.')
		}
		return string(out)
	}
	b := a.As16()
	for i := 15; i >= 0; i-- {
		out = append(out, "0123456789abcdef"[b[i]&15], '.', "0123456789abcdef"[b[i]>>4], '.')
	}
	return string(out)
}

// script returns the text for the shell and the variables that it refers to.
func (c *command) script(values []string) (text string, env []string) {
	var b strings.Builder
	used := make([]bool, len(values))
	for _, p := range c.parts {
		switch {
		case p.tag < 0:
			b.WriteString(p.text)
			continue
		case isPlain(values[p.tag]):
			b.WriteString(values[p.tag])
			continue
		}
		name := variable(c.tags[p.tag])
		if p.quoted {
			b.WriteString("${" + name + "}")
		} else {
			b.WriteString(`"${` + name + `}"`)
		}
		if !used[p.tag] {
			used[p.tag] = true
			env = append(env, name+"="+values[p.tag])
		}
	}
	return b.String(), env
}

// variable is the name of a tag's variable.
func variable(tag string) string {
	return "f2bV_" + strings.NewReplacer("-", "_", ".", "_").Replace(tag)
}

// isPlain says whether a value means nothing to a shell, wherever it stands.
func isPlain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c != 0 && strings.IndexByte("_.:/@%+,=-", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// render puts the values into a text that no shell reads: ignorecache's key.
func (c *command) render(values []string) string {
	var b strings.Builder
	for _, p := range c.parts {
		if p.tag < 0 {
			b.WriteString(p.text)
		} else {
			b.WriteString(values[p.tag])
		}
	}
	return b.String()
}

// run asks the command: exit status 0 is ignore, 1 is not; anything else is an
// error. At the timeout, or when ctx is done, its process group is killed.
func (c *command) run(ctx context.Context, values []string, timeout time.Duration) (ignore bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	text, env := c.script(values)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", text)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	var stderr head
	cmd.Stderr = &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return false, fmt.Errorf("ignorecommand %q: killed after %s: %w", text, timeout, ctx.Err())
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return true, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return false, nil
	}
	return false, fmt.Errorf("ignorecommand %q: %w: %s", text, err, bytes.TrimSpace(stderr.text))
}

// head keeps the beginning of what is written.
type head struct{ text []byte }

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), 512-len(h.text))]...)
	return len(p), nil
}
