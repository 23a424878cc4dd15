package config

import (
	"os"
	"slices"
	"testing"
)

// Loads that share their files find what each of them finds alone, whatever
// those before them have changed.
func TestSharedFiles(t *testing.T) {
	o := Options{Dir: tree(t,
		"fail2ban.local", "[Definition]\nloglevel = LOUD\nlogtarge = x\n",
		"jail.local", "[DEFAULT]\nbantim = 5\nown = %(sshd/maxretry)s %(filter)s\n[sshd]\nmaxretry = 4\nnobody = %(own)s\nnobody = twice\n[first]\nfilter = sshd[mode=aggressive]\nfailregex = %(known/failregex)s\n    ^more <HOST>\n[second]\nfilter = nowhere\n[third]\nfilter = sshd\nfindtime = %(first/known/logtype)s\n",
		"filter.d/postfix.conf", "[Definition]\nfailregex = ^mine <HOST>\n",
	), Stock: os.DirFS("testdata/stock")}
	o.Superseded = func(name string, _ []byte) bool { return name == "filter.d/postfix.conf" }
	o.Overrides.Jail = map[string]string{"backend": "polling"}
	all, _ := Load(o)
	names := []string{"no-such-jail", "first"}
	for _, j := range all.Jails {
		names = append(names, j.Name)
	}
	shared := new(Files)
	for _, name := range slices.Concat(names, names) {
		for _, how := range []bool{false, true} {
			o.Only, o.Enable, o.Make = name, []string{name}, how
			alone, aloneProblems := Load(o)
			o.Files = shared
			together, problems := Load(o)
			o.Files = nil
			expect(t, name+": problems", problems, aloneProblems)
			expect(t, name, together, alone)
		}
	}
}
