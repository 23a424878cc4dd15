package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// ChangeJail implements control.Settings.
func (v verbs) ChangeJail(ctx context.Context, name string, c control.Change) error {
	return v.editJail(ctx, name, func(next *jail, draft *config.Jail) error {
		if c.Option == "idle" {
			next.idle = c.Values[0] == "on"
			return nil
		}
		return changeDraft(draft, c)
	})
}

// changeDraft makes one change in the draft of a jail.
func changeDraft(c *config.Jail, ch control.Change) error {
	switch ch.Option {
	case "failregex":
		return changeRegexes(&c.Failregex, ch)
	case "ignoreregex":
		return changeRegexes(&c.Ignoreregex, ch)
	case "ignoreip":
		return changeIgnored(c, ch)
	case "logpath":
		return changeLogPath(c, ch)
	case "journalmatch":
		return changeJournalMatch(c, ch)
	}
	text := ch.Values[0]
	if extra, ok := strings.CutPrefix(ch.Option, "bantime."); ok {
		return changeIncrement(c, extra, text)
	}
	switch ch.Option {
	case "ignoreself":
		c.Ignore.Self = asBool(text)
	case "ignorecommand":
		c.Ignore.Command = commanded(text)
	case "ignorecache":
		return changeIgnoreCache(c, text)
	case "logencoding":
		c.Logencoding = commanded(text)
	case "logtimezone":
		c.Logtimezone = commanded(text)
	case "prefregex":
		c.Prefregex = config.Value{}
		if text != "" {
			c.Prefregex = commanded(text)
		}
	case "usedns":
		c.Usedns = commanded(strings.ToLower(text))
	case "datepattern":
		c.Datepattern = nil
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				c.Datepattern = append(c.Datepattern, commanded(line))
			}
		}
	default:
		return changeNumber(c, ch.Option, text)
	}
	return nil
}

// asBool is fail2ban's reading of a yes or no.
func asBool(text string) bool {
	switch strings.ToLower(text) {
	case "1", "on", "true", "yes":
		return true
	}
	return false
}

// changeNumber changes an option that is a count or a time.
func changeNumber(c *config.Jail, option, text string) error {
	switch option {
	case "findtime", "bantime":
		d, err := config.ParseDuration(text)
		if err != nil {
			return evalError(option, text, err)
		}
		d = d.Truncate(time.Second) // fail2ban keeps whole seconds
		if option == "findtime" {
			if d <= 0 {
				return control.ErrorValue("findtime = %s: expected a time above 0", text)
			}
			c.FindTime = d
			return nil
		}
		if c.BanTime = d; d < 0 {
			c.BanTime = -1
		}
		return nil
	case "maxretry", "maxmatches", "maxlines":
	default:
		return control.ErrNotOffered
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return notWhole(text)
	case option == "maxlines" && n < 1:
		return control.ErrorValue("maxlines must be integer greater than zero")
	}
	*map[string]*int{"maxretry": &c.MaxRetry, "maxmatches": &c.MaxMatches, "maxlines": &c.Maxlines}[option] = n
	return nil
}

func changeRegexes(list *[]config.Value, ch control.Change) error {
	if ch.Op == control.Add {
		for _, text := range ch.Values {
			*list = append(*list, commanded(text))
		}
		return nil
	}
	// A number that no expression has is no error to fail2ban; a negative one
	// counts from the end.
	i := ch.Index
	if i < 0 {
		i += len(*list)
	}
	if i >= 0 && i < len(*list) {
		*list = slices.Delete(*list, i, i+1)
	}
	return nil
}

// ignoreText is an item of ignoreip as fail2ban shows it: networks are masked.
func ignoreText(item config.IgnoreItem) string {
	text := item.Value.Text
	switch item.Kind {
	case config.IgnoreFile:
		return "file:" + text
	case config.IgnoreAddress, config.IgnoreNetwork:
		if host, mask, ok := strings.Cut(text, "/"); ok && strings.ContainsAny(mask, ".:") {
			if bits := maskBits(mask); bits >= 0 {
				text = host + "/" + strconv.Itoa(bits)
			}
		}
		return pipeline.ParseID(text).String()
	}
	return text
}

// maskBits counts the bits of a netmask; negative: it is none.
func maskBits(mask string) int {
	id := pipeline.ParseID(mask)
	addr, ok := id.Addr()
	if !ok {
		return -1
	}
	n := 0
	for _, b := range addr.AsSlice() {
		for ; b&0x80 != 0; b <<= 1 {
			n++
		}
	}
	return n
}

func changeIgnored(c *config.Jail, ch control.Change) error {
	for _, text := range ch.Values {
		if text == "" {
			continue
		}
		item, _ := config.ParseIgnoreItem(commanded(text))
		at := slices.IndexFunc(c.Ignore.List, func(x config.IgnoreItem) bool { return ignoreText(x) == ignoreText(item) })
		switch {
		case ch.Op == control.Add && at < 0:
			c.Ignore.List = append(c.Ignore.List, item)
		case ch.Op == control.Delete && at < 0:
			return control.ErrorValue("list.remove(x): x not in list")
		case ch.Op == control.Delete:
			c.Ignore.List = slices.Delete(c.Ignore.List, at, at+1)
		}
	}
	return nil
}

func changeIgnoreCache(c *config.Jail, text string) error {
	_, params, err := config.SplitOptions("cache[" + text + "]")
	if err != nil {
		return control.ErrorValue("%v", err)
	}
	if len(params) == 0 {
		c.Ignore.Cache = nil
		return nil
	}
	cache := &config.IgnoreCache{MaxCount: 100, MaxTime: 5 * 60e9}
	for _, p := range params {
		switch p.Name {
		case "key":
			cache.Key = commanded(p.Value.Text)
		case "max-count":
			if cache.MaxCount, err = strconv.Atoi(p.Value.Text); err != nil {
				return notWhole(p.Value.Text)
			}
		case "max-time":
			cache.MaxTime, err = config.ParseDuration(p.Value.Text)
		}
		if err != nil {
			return control.ErrorValue("ignorecache: %s: %v", p.Name, err)
		}
	}
	if cache.Key.Text == "" {
		return control.ErrorKey("key")
	}
	c.Ignore.Cache = cache
	return nil
}

// changeLogPath watches one more file, or one less. A file that is not there
// cannot be added, as in fail2ban.
func changeLogPath(c *config.Jail, ch control.Change) error {
	if c.Backend.Name == "systemd" {
		return nil
	}
	for _, path := range ch.Values {
		at := slices.IndexFunc(c.LogPaths, func(p config.LogPath) bool { return p.Pattern.Text == path })
		switch {
		case ch.Op == control.Add && at < 0:
			f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hold the command
			if err != nil {
				return fileError(path, err)
			}
			info, err := f.Stat()
			_ = f.Close() // nothing was written
			if err != nil || info.IsDir() {
				return fileError(path, cmp.Or[error](err, syscall.EISDIR))
			}
			p := config.LogPath{Pattern: commanded(path), Tail: ch.Tail}
			if ch.Tail {
				p.Word = commanded("tail")
			}
			c.LogPaths = append(c.LogPaths, p)
		case ch.Op == control.Delete && at >= 0:
			c.LogPaths = slices.Delete(c.LogPaths, at, at+1)
		case ch.Op == control.Delete:
			dropMatch(c, path)
		}
	}
	return nil
}

// dropMatch takes one file out of a pattern that means it: the others that the
// pattern means now stay, each by its name.
func dropMatch(c *config.Jail, path string) {
	for i, p := range c.LogPaths {
		if !p.IsPattern() || !p.Match(path) {
			continue
		}
		var rest []config.LogPath
		for _, other := range p.Expand() {
			if other != path {
				q := p
				q.Pattern.Text = other
				rest = append(rest, q)
			}
		}
		c.LogPaths = slices.Replace(c.LogPaths, i, i+1, rest...)
		return
	}
}

// fileError is Python's error of a file that cannot be opened.
func fileError(path string, err error) error {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	class := "OSError"
	switch number {
	case syscall.ENOENT:
		class = "FileNotFoundError"
	case syscall.EACCES, syscall.EPERM:
		class = "PermissionError"
	case syscall.EISDIR:
		class = "IsADirectoryError"
	}
	return control.ErrorFile(class, int(number), number.Error(), path)
}

func changeJournalMatch(c *config.Jail, ch control.Change) error {
	if !readsJournal(c) {
		return nil // as in fail2ban, for a jail that reads files
	}
	c.Journalmatch = alternatives(c.Journalmatch)
	var match []config.Value
	for _, text := range ch.Values {
		if field, _, ok := strings.Cut(text, "="); text != "+" && (!ok || field == "") {
			return control.ErrorValue("Error adding journal match for: %s", control.Repr(ch.Values))
		}
		match = append(match, commanded(text))
	}
	if ch.Op == control.Add {
		c.Journalmatch = append(c.Journalmatch, alternatives([][]config.Value{match})...)
		return nil
	}
	for _, one := range alternatives([][]config.Value{match}) {
		at := slices.IndexFunc(c.Journalmatch, func(x []config.Value) bool { return reflect.DeepEqual(texts(x), texts(one)) })
		if at < 0 {
			return control.ErrorValue("Match %s not found", control.Repr(texts(one)))
		}
		c.Journalmatch = slices.Delete(c.Journalmatch, at, at+1)
	}
	return nil
}

// argsText is what a Python action is made with, as its parameters.
func argsText(args json.RawMessage) (params []config.Param, err error) {
	var object map[string]any
	if err := json.Unmarshal(args, &object); err != nil {
		return nil, fmt.Errorf("read arguments of the action: %w", err)
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		params = append(params, config.Param{Name: name, Value: commanded(fmt.Sprint(object[name]))})
	}
	return params, nil
}
