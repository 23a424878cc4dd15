package service

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/logtarget"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// oracleSite is a configuration with two jails, for fail2ban and for us.
func oracleSite(t *testing.T) *site {
	t.Helper()
	return &site{t, testenv.Fail2banConf(t)}
}

var stampPattern = regexp.MustCompile(`2\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d|9999-12-31 23:59:59`)

// oracleDiffers are the commands whose answer is another one, and why.
var oracleDiffers = map[string]string{
	"set sshd attempt":      "a TypeError that names a method of theirs; ours is the IndexError of all others",
	"add sshd":              "Debian's 1.0.2 has lost a name there: NameError",
	"get new ignorecommand": "False before it was set, \"\" after",
	// The second time, when bantime is -1.
	"get sshd banip --with-time 2": "to them bantime is the length of bans in force too; ours keep their end",
}

// TestCommandsOracle sends every command of fail2ban, through its own client, to
// Debian's fail2ban-server and to a running service with the same
// configuration: what the client prints and its exit status are the same.
func TestCommandsOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("fail2ban takes seconds")
	}
	testenv.Python(t)
	theirSite, ourSite := oracleSite(t), oracleSite(t)
	testenv.StartFail2ban(t, theirSite.dir)
	out, err := logtarget.New(logtarget.Config{Target: ourSite.path("f2b.log")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ourSite.start(func(c *Config) { c.Fail2ban, c.Socket, c.Version, c.Out = true, ourSite.path("s"), "1.0.2", out })
	theirs, ours := testenv.NewAsker(t, theirSite.path("s"), theirSite.dir), testenv.NewAsker(t, ourSite.path("s"), ourSite.dir)
	// The odd ones have arguments that nobody means, and leave all as it was.
	var commands []byte
	for _, file := range []string{"testdata/odd.txt", "../control/testdata/commands.txt"} {
		text, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, text...)
	}
	normal := func(text, dir string) string {
		return stampPattern.ReplaceAllString(strings.ReplaceAll(text, dir, "DIR"), "TIME")
	}
	compared, times := 0, map[string]int{}
	for line := range strings.Lines(string(commands)) {
		line = strings.TrimSuffix(line, "\n")
		want := theirs.Ask(strings.Fields(strings.ReplaceAll(line, "DIR", theirSite.dir))...)
		got := ours.Ask(strings.Fields(strings.ReplaceAll(line, "DIR", ourSite.dir))...)
		times[line]++
		_, always := oracleDiffers[line]
		if _, now := oracleDiffers[fmt.Sprint(line, " ", times[line])]; always || now {
			continue
		}
		compared++
		wantOut, gotOut := normal(want.Stdout, theirSite.dir), normal(got.Stdout, ourSite.dir)
		wantRepr, gotRepr := normal(want.Repr, theirSite.dir), normal(got.Repr, ourSite.dir)
		if gotOut != wantOut || got.Code != want.Code || gotRepr != wantRepr {
			t.Errorf("%s\n got %d %q\n     %s\nwant %d %q\n     %s", line, got.Code, gotOut, gotRepr, want.Code, wantOut, wantRepr)
		}
	}
	t.Logf("%d commands compared", compared)
}
