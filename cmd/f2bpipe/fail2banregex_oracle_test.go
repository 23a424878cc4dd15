package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// debianConfig is the configuration of Debian's package, which comes with the oracle.
const debianConfig = "/etc/fail2ban"

// regexOracle is Debian's fail2ban-regex, which runs in a child of a child process.
type regexOracle struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

func startRegexOracle(t *testing.T) *regexOracle {
	cmd := exec.Command(testenv.Python(t), "testdata/fail2banregex.py")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	local := time.Local
	time.Local = time.UTC
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Cleanup(func() {
		time.Local = local
		in.Close()
		_ = cmd.Wait()
	})
	return &regexOracle{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// run returns what fail2ban-regex prints, and its exit status.
func (o *regexOracle) run(args []string) (string, int) {
	o.t.Helper()
	request, err := json.Marshal(args)
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.in.Write(append(request, '\n')); err != nil {
		o.t.Fatal("the oracle died:", err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		o.t.Fatal("the oracle died:", err)
	}
	var answer struct {
		Out    string
		Status int
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		o.t.Fatal(err)
	}
	return answer.Out, answer.Status
}

// knownDifferences are what the two print differently on purpose: Debian's text
// is rewritten to ours.
var knownDifferences = []struct {
	why string
	re  *regexp.Regexp
	to  string
}{
	{"the time that it took", regexp.MustCompile(`(?m)^\[processed in .* sec\]$`), "[processed in 0.00 sec]"},
	{"<HOST> takes an IPv6 address without the lookbehind, which is redundant", regexp.MustCompile(regexp.QuoteMeta(`::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):)`)),
		`::?|:){1,7}(?:[0-9a-fA-F]{1,4}|:)`},
	{"the same, in an address of debuggex.com", regexp.MustCompile(regexp.QuoteMeta(`%3A%3A%3F%7C%3A%3A%29%7B1%2C7%7D%28%3F%3A%5B0-9a-fA-F%5D%7B1%2C4%7D%7C%28%3F%3C%3D%3A%29%3A%29`)),
		`%3A%3A%3F%7C%3A%29%7B1%2C7%7D%28%3F%3A%5B0-9a-fA-F%5D%7B1%2C4%7D%7C%3A%29`},
	{"the default template of 20050123T215959 takes more, as in fail2ban's master", regexp.MustCompile(regexp.QuoteMeta(`ExDay(?:T|  ?)Ex24hourExMinuteExSecond`)),
		`ExDay(?:-|T|  ?)Ex24hour:?ExMinute:?ExSecond`},
	{"the mistake in a date pattern is in our own words", regexp.MustCompile(`(unescaped percent char\)): .*`), "$1"},
	{"a place behind <HOST>, which is shorter", regexp.MustCompile(`at position \d{2,}`), "at position N"},
	{"options of [Init] that were not asked for are not shown", regexp.MustCompile(`(?m)^(Real  filter options : \{.*?), 'known/.*\}$`), "$1}"},
	{"users of a session are a set in Python, in any order", regexp.MustCompile(`'users': \{[^}]*,[^}]*\}`), "'users': {…}"},
}

// ourMore is what ours says in addition: the place of a mistake in a regular expression.
var ourMore = regexp.MustCompile(`(?m)^  .*\n *\^\n|^in .*:\d+: \w+ \d+ of filter .*\n`)

// compare runs both with the same arguments and compares what they print.
func (o *regexOracle) compare(args ...string) (failures bool) {
	o.t.Helper()
	args = append([]string{"-c", debianConfig}, args...)
	want, wantStatus := o.run(args)
	if wantStatus == 1 && strings.Contains(want, "Use ignoreregex") {
		// It fails with an IndexError, or shows the wrong one, where a filter that has an
		// ignoreregex itself is given another.
		return false
	}
	if wantStatus < 0 {
		o.t.Logf("fail2ban-regex %q did not end in 20 seconds", args)
		return false
	}
	var out, errs bytes.Buffer
	gotStatus := fail2banRegex(append([]string{"fail2ban-regex"}, args...), stdio{out: &out, err: &errs})
	got := out.String()
	for _, d := range knownDifferences {
		want, got = d.re.ReplaceAllString(want, d.to), d.re.ReplaceAllString(got, d.to)
	}
	if gotStatus == exitFail2ban {
		got = ourMore.ReplaceAllString(got, "")
	}
	if gotStatus != wantStatus {
		o.t.Errorf("fail2ban-regex %q: exit status %d, want %d; printed\n%s%s", args, gotStatus, wantStatus, got, errs.String())
	}
	got, want = withoutNow(got, want)
	if strings.HasPrefix(want, "Usage: ") && strings.HasPrefix(got, "Usage: ") {
		return false // help is in our own words
	}
	if got != want {
		o.t.Errorf("fail2ban-regex %q:\n%s", args, differingLine(got, want))
	}
	return strings.Contains(want, "192.0.2.") || strings.Contains(want, "total\n|-") || len(want) > 0 && want[0] == '['
}

// nowTime is a time that fail2ban took from the clock: it has more digits than
// any log of these tests.
var nowTime = regexp.MustCompile(`^(\[[^\t]*,\t)\d+\.\d{4}\d*,`)

// withoutNow takes the times out that fail2ban took from the clock, since the
// filter says that its lines have none.
func withoutNow(got, want string) (g, w string) {
	gl, wl := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gl), len(wl)) {
		if nowTime.MatchString(wl[i]) {
			gl[i], wl[i] = rowTime.ReplaceAllString(gl[i], "${1}now,"), rowTime.ReplaceAllString(wl[i], "${1}now,")
		}
	}
	return strings.Join(gl, "\n"), strings.Join(wl, "\n")
}

var rowTime = regexp.MustCompile(`^(\[[^\t]*,\t)[\d.]+,`)

// differingLine shows the first lines that differ.
func differingLine(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "line " + strconv.Itoa(i+1) + "\n got " + g[i] + "\nwant " + w[i]
		}
	}
	return " got " + strings.Join(g[min(len(g), len(w)):], "\n     ") + "\nwant " + strings.Join(w[min(len(g), len(w)):], "\n     ")
}

// sampleLog writes the sample lines of a filter into a file: those of the filter
// itself and some of other ones.
func sampleLog(t *testing.T, name string, others []string) string {
	t.Helper()
	data, _ := os.ReadFile(testenv.Shared(t, "fail2ban", "logs") + "/" + name) // not every filter has samples
	var out bytes.Buffer
	n := 0
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\r\n")
		out.Write(append(bytes.ToValidUTF8(line, []byte("?")), '\n'))
		if n++; n%5 == 0 && len(others) > 0 {
			out.WriteString(others[n%len(others)] + "\n")
		}
	}
	for _, line := range others {
		out.WriteString(line + "\n")
	}
	path := filepath.Join(t.TempDir(), name+".log")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var otherLines = []string{
	"Nov 22 13:00:00 host sshd[12]: Failed password for root from 192.0.2.1 port 22 ssh2",
	"Nov 22 13:00:01 host sshd[12]: Connection closed by 192.0.2.1 port 22 [preauth]",
	"2026-11-22T13:00:01.250+01:00 host postfix/smtpd[1]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x",
	"a line without a date, from 192.0.2.2",
	"[Sun Nov 22 13:00:02 2026] [error] [client 192.0.2.3] user joe not found: /",
	"22/Nov/2026:13:00:03 +0000 from 2001:db8::7 \"GET /é HTTP/1.1\" 404",
}

// skippedFilters are not compared.
var skippedFilters = map[string]string{
	"dovecot":     "ours takes its place, since it does not know the log format of today",
	"domino-smtp": "one of its regular expressions takes Python hours on some lines of other logs",
}

// TestFail2banRegexOracle runs Debian's fail2ban-regex and ours with the same
// arguments, for every stock filter over its own sample lines. Without
// F2BPIPE_SOAK=1 each filter has one of the kinds of output, in turn.
func TestFail2banRegexOracle(t *testing.T) {
	testenv.Shared(t, "fail2ban", "logs")
	o := startRegexOracle(t)
	filters, err := filepath.Glob(debianConfig + "/filter.d/*.conf")
	if err != nil || len(filters) < 50 {
		t.Fatalf("%d filters in %s: %v", len(filters), debianConfig, err)
	}
	compared, found := 0, 0
	for n, file := range filters {
		name := strings.TrimSuffix(filepath.Base(file), ".conf")
		if strings.HasSuffix(name, "common") || skippedFilters[name] != "" || testing.Short() && n%5 != 0 {
			continue
		}
		log := sampleLog(t, name, otherLines)
		for kind, args := range [][]string{
			{"-r", "-vv", "--print-all-matched", "--print-all-missed", "--print-all-ignored", log, name},
			{"-r", "-o", "row", log, name},
			{"-r", "-o", "msg", log, name},
			{"-r", "--no-check-all", log, name, "192\\.0\\.2\\.1"},
		} {
			if os.Getenv("F2BPIPE_SOAK") != "1" && kind != n%4 {
				continue
			}
			if o.compare(args...) {
				found++
			}
			compared++
		}
	}
	t.Logf("%d runs compared, %d of them with hits", compared, found)
	if found < compared/2 {
		t.Errorf("only %d of %d runs had hits: the test proves little", found, compared)
	}
}

// TestFail2banRegexOracleOptions compares every option and every kind of
// argument.
func TestFail2banRegexOracleOptions(t *testing.T) {
	o := startRegexOracle(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := otherLines[0]
	log := write("a.log", strings.Join(otherLines, "\n")+"\n# a comment from 192.0.2.9\n\n"+line+"\r\n")
	long := write("long.log", strings.Repeat("nothing\n", 25)+strings.Repeat(line+"\n", 25))
	bytesLog := write("bytes.log", "Nov 22 13:00:00 x \xff\xe2\x82 from 192.0.2.1\n")
	filter := write("own.conf", "[Definition]\nprefregex = ^ host <F-CONTENT>.+</F-CONTENT>$\nfailregex = Failed \\S+ for <F-USER>\\S+</F-USER> from <ADDR>\nignoreregex = root\n")
	session := write("session.log", strings.Join([]string{
		"Nov 22 13:00:00 host sshd[1]: Connection from 192.0.2.5 port 22",
		"Nov 22 13:00:01 host sshd[1]: Failed publickey for joe from 192.0.2.5 port 22 ssh2",
		"Nov 22 13:00:02 host sshd[1]: Failed password for joe from 192.0.2.5 port 22 ssh2",
		"Nov 22 13:00:03 host sshd[1]: Accepted password for joe from 192.0.2.5 port 22 ssh2",
		"Nov 22 13:00:04 host sshd[2]: Failed password for invalid user a b from 192.0.2.6 port 22 ssh2",
		"Nov 22 13:00:05 host sshd[2]: Connection closed by 192.0.2.6 port 22 [preauth]",
		"Nov 22 13:00:06 host sshd[3]: User joe not allowed because account is locked",
		"Nov 22 13:00:07 host sshd[3]: Received disconnect from 192.0.2.7: 11: Bye [preauth]", ""}, "\n"))
	epochs := write("epochs.log", "1795352401 from 192.0.2.1\n1795352402.125 from 192.0.2.2\naudit(1795352403.250:1) from 192.0.2.3\n"+
		"@400000006b02ebd50510ff40 from 192.0.2.4\n2026-11-22T13:00:05+01:00 from 192.0.2.5\n2026-11-22 13:00:05 a\x00b from 192.0.2.6\n")
	multi := "Nov 22 13:00:00 a 1 begin\nNov 22 13:00:01 other\nNov 22 13:00:02 a 1 end 192.0.2.4\nNov 22 13:00:03 rest"
	multiRegex := `a (?P<n>\d+) begin<SKIPLINES> a (?P=n) end <HOST>`
	for _, args := range [][]string{
		{line, "sshd"}, {line, "from <HOST>"}, {line, "nothing <HOST>"}, {log, "from <HOST>"}, {log, "sshd[mode=aggressive]"},
		{log, "/etc/fail2ban/filter.d/sshd.conf"}, {log, "/etc/fail2ban/filter.d/sshd"}, {log, "sshd.conf"}, {log, filter},
		{log, "from <HOST>", `192\.0\.2\.[12]`}, {log, "sshd", "^Failed"}, {log, "sshd", "("}, {log, "sshd", ""},
		{"-v", log, "sshd"}, {"-vv", log, "sshd[mode=ddos]"}, {"--verbosity", "1", log, "sshd"}, {"--verbosity=2", log, "sshd[mode='extra']"},
		{"--VD", log, "from <HOST>"}, {"--verbose-date", "-v", line, "-d", "%b %d %H:%M:%S", "from <HOST>"},
		{"-D", log, "from <HOST>"}, {"-D", "--print-all-matched", log, "from <HOST>", "0.2.1"}, {"-D", "-L", "4", log, "from <HOST>"},
		{"--no-check-all", log, "sshd"}, {"--no-check-all", session, "sshd"}, {"-v", "--print-all-matched", session, "sshd"},
		{"--print-no-missed", log, "sshd"}, {"--print-no-ignored", log, "sshd"}, {"--print-all-matched", log, "sshd"},
		{long, "sshd"}, {"--print-all-missed", long, "sshd"}, {"--print-all-ignored", long, "sshd", "Failed"}, {long, "sshd", "Failed"},
		{"--print-all-mat", long, "sshd"}, {"-L", "3", long, "from <HOST>"}, {"-L5", "--print-all-matched", multi, multiRegex},
		{"-L", "2", multi, multiRegex}, {"-vL5", multi, multiRegex}, {multi, "from <HOST>"}, {"a\nb\nc\nd\ne\nf\ng", "from <HOST>"},
		{"-d", "%b %d %H:%M:%S", log, "from <HOST>"}, {"-d", "{NONE}", log, "from <HOST>"}, {"-d", "EPOCH", log, "from <HOST>"},
		{"-d", "%Q", log, "from <HOST>"}, {"-d", "{^LN-BEG}%ExY", "--", log, "from <HOST>"},
		{"--TZ", "UTC+0200", "-v", log, "from <HOST>"}, {"--timezone=CET", "-o", "row", log, "from <HOST>"}, {"--TZ", "nowhere", log, "x"},
		{"--usedns", "no", "x from 192.0.2.1 or host.invalid", "from <HOST>"}, {"--usedns=no", "x from host.invalid", "from <HOST>"},
		{"-r", "x from host.invalid", "from <HOST>"}, {"-r", "-o", "row", "x from host.invalid", "from <HOST>"}, {"-v", "x from host.invalid", "from <HOST>"},
		{"-e", "latin-1", "--print-all-matched", bytesLog, "from <HOST>"}, {"-e", "UTF-8", "-o", "msg", bytesLog, "from <HOST>"}, {"-e", "ascii", "-o", "msg", bytesLog, "from <HOST>"},
		{"-m", "_SYSTEMD_UNIT=x", log, "sshd"}, {"-l", "critical", log, "sshd"}, {"-l", "50", log, "sshd"}, {"-t", log, "sshd"}, {"--log-traceback", "--full-traceback", log, "sshd"},
		{"-o", "id", log, "sshd"}, {"-o", "fid", session, "sshd"}, {"-oip", log, "from <HOST>"}, {"-o", "msg", session, "sshd"}, {"-o", "row", session, "sshd"},
		{"-o", "row", session, "sshd[mode=aggressive]"}, {"-o", "msg", session, "sshd[mode=aggressive]"}, {"-o", "user", session, "sshd"}, {"-o", "ip4", log, "from <HOST>"},
		{"-o", "none", log, "from <HOST>"}, {"--out=host", log, "from <HOST>"}, {"-o", "row", log, "from <F-ID>(?:<ADDR>)\\S*</F-ID>"}, {"-o", "row", log, filter},
		{"-o", "<ip> <fid> <F-USER> <F-IP4> <family> <ip-rev> <failures> <bancount> <restored><br><sp><nothing> <F-NONE>", session, "sshd"},
		{"-o", "<ip>: <msg>", session, "sshd"}, {"-o", "<matches>", session, "sshd"}, {"-o", "<ip-rev>", "x from 2001:db8::1", "from <HOST>"},
		{"-o", "row", epochs, "from <HOST>"}, {"-o", "<time> <ip> <msg>", epochs, "from <HOST>"}, {"-o", "<time> <matches>", epochs, "from <HOST>"},
		{"-d", "{^LN-BEG}LEPOCH", "-o", "<time>", "1795352401125 from 192.0.2.1", "from <HOST>"}, {"--TZ", "UTC", "-o", "<time>", line, "from <HOST>"},
		{"-d", "^%b %d\n{^LN-BEG}", log, "from <HOST>"}, {"-D", "-L5", "--print-all-matched", multi, multiRegex}, {"-D", "-L5", multi, multiRegex},
		{"-r", "-o", "<family>|<ip-rev>|<F-id>", "x from host.invalid", "from <HOST>"}, {"-o", "<family>|<ip-rev>", "x from 192.0.2.1/24", "from <SUBNET>"},
		{"-o", "<family>|<ip-rev>", "x from 2001:db8::1/56", "from <SUBNET>"}, {"-o", "<family>|<ip-rev>|<F-ID>", "x from a", "from <F-ID>a</F-ID>"},
		{"-o", "row", "x from a foo", `from <F-ID>a</F-ID> <F-TUPLE_ID>foo</F-TUPLE_ID>`},
		{"-o", "row", "x from 192.0.2.1 joe ann", `from <HOST> <F-ALT_USER>\w+</F-ALT_USER> <F-ALT_USER_1>\w+</F-ALT_USER_1>`},
		{log, "(<HOST"}, {log, "[<HOST>"}, {log, "<HOST> *+*"}, {log, "(?P<a>x)(?P<a><HOST>)"}, {log, "from"}, {log, ""}, {log, "nofilter"}, {log, "sshd[mode"},
		{"nofile.log", "sshd"}, {"x"}, {"a", "b", "c", "d"}, {"--print-no-missed", "--print-all-missed", "a", "b"},
		{"--nothing", "a", "b"}, {"-x", "a", "b"}, {"-L", "x", "a", "b"}, {"-o"}, {"--print", "a", "b"}, {"-V"},
	} {
		o.compare(args...)
	}
}
