package service

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/internal/stock"
)

// noDroppers are actions of the droppers' families that do more than to drop.
var noDroppers = []string{"iptables-multiport-log", "iptables-xt_recent-echo", "firewallcmd-rich-logging"}

// hashedPhases are the commands that say what an action does.
var hashedPhases = []runner.Phase{
	runner.Start, runner.Stop, runner.Flush, runner.Reload, runner.Check, runner.Repair, runner.Ban, runner.Reban, runner.Unban, runner.Prolong,
}

// actionHash names what an action does: the SHA-256 of its commands for both
// families, with a placeholder for each parameter that says what is dropped.
// Comments, white space at the ends of lines and the order of options do not
// count, nor does where an option stands.
func actionHash(a *config.Action) string {
	if a.Canonical == nil {
		return ""
	}
	p, err := runner.Compile(runner.Define("", a.Canonical))
	if err != nil {
		return ""
	}
	h := sha256.New()
	for f := range runner.Family(runner.Families) {
		for _, phase := range hashedPhases {
			h.Write([]byte("\x00" + string(phase) + "\x00"))
			for line := range strings.Lines(p.Text(phase, f)) {
				if line = strings.Join(strings.Fields(line), " "); line != "" {
					h.Write([]byte(line + "\n"))
				}
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// released says whether an action only drops packets and its commands are those
// of a release of fail2ban's, or ours, so that our sink may stand for them.
func released(a *config.Action) bool {
	return config.IsDropper(a.Name) && !slices.Contains(noDroppers, a.Name) && stock.ReleasedAction(actionHash(a))
}

// recognize finds out which actions of a draft are those of the files of their
// names: what fail2ban's client hands over does not say where it comes from.
func (s *Service) recognize(c *config.Jail) {
	if _, ok := c.Options["native-actions"]; !ok && s.cfg.Options.NativeActions != "" {
		c.Options["native-actions"] = config.Value{Text: s.cfg.Options.NativeActions}
	}
	for i := range c.Actions {
		config.Recognize(s.cfg.Options, &c.Actions[i])
	}
}
