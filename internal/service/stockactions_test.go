package service

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// fakePrograms puts programs before all others that write down how they were
// called, with their input where they read mails, into the file that is returned.
func fakePrograms(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	called := filepath.Join(dir, "called")
	for _, name := range names {
		script := "#!/bin/sh\n{ printf '%s' " + name + "; printf ' <%s>' \"$@\"; echo; } >> '" + called + "'\n"
		if name == "mail" || name == "sendmail" {
			script += "cat >> '" + called + "'\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return called
}

// engineCommand returns the sink of an action that an engine of this process runs.
func engineCommand(t *testing.T, o config.Options, spec string, values func(*pipeline.Ban) map[string]string) *sinks.Command {
	t.Helper()
	a := actionsOf(t, o, []string{spec})[0]
	d := runner.Define("sshd", &a)
	p, err := runner.Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	e := new(runner.Engine)
	t.Cleanup(func() { e.Close() })
	if _, err := e.Hold(t.Context(), []runner.Definition{d}); err != nil {
		t.Fatal(err)
	}
	x := &action{name: a.ActName, by: byCommands, digest: d.Digest(), program: p, wants: wantedTags(p)}
	return sinks.NewCommand(sinks.CommandConfig{
		Commands: &commands{run: e, action: x}, OnDemand: p.OnDemand(), NoRestored: d.NoRestored, RepairOnUnban: d.RepairOnUnban,
		Values: func(_ context.Context, _ sinks.Phase, b *pipeline.Ban) map[string]string { return values(b) },
	})
}

// TestStockActionsRun runs every action of ours for both families, with text in
// the lines and names that a shell could take for commands.
func TestStockActionsRun(t *testing.T) {
	testenv.Netns(t)
	work := t.TempDir()
	t.Chdir(work)
	called := fakePrograms(t, "iptables", "ip6tables", "ipset", "firewall-cmd", "ufw", "mail", "sendmail", "whois", "nginx", "ss", "conntrack", "curl")
	o := config.Options{Dir: stockTree(t)}
	values := func(b *pipeline.Ban) map[string]string {
		tags := banTags(b.ID.String())
		tags["F-user"] = "x'; touch PWNED; $(touch PWNED)\ntouch PWNED\n`touch PWNED`"
		tags["matches"], tags["ipmatches"], tags["ipjailmatches"] = tags["F-user"], tags["F-user"], tags["F-user"]
		return tags
	}
	var wg sync.WaitGroup
	for _, name := range actionNames(t, o.Dir) {
		if strings.HasSuffix(name, "-common") || name == "iptables-xt_recent-echo" { // the latter needs a module of the kernel's
			continue
		}
		spec := name + `[name=sshd, actname=` + name + `, port="ssh,8000:8010", protocol=tcp, dest=root, sender="f2b@example.org", file="` + work + `/hosts.deny", target="` +
			work + `/dummy", tmpfile="` + work + `/` + name + `", srv_cfg_path="` + work + `", lines=1, mailcmd="sendmail root", logpath="/dev/null"]`
		c := engineCommand(t, o, spec, values)
		run := func() {
			apply := func(v pipeline.Verb, ip string) {
				c.Apply(t.Context(), 0, []pipeline.Order{{Verb: v, Ban: pipeline.Ban{ID: pipeline.ParseID(ip), UntilNanos: pipeline.Permanent}}})
				if st := c.State(); st.Failed > 0 {
					t.Errorf("%s: %v %s: %s", name, v, ip, st.Problem)
				}
			}
			c.Start(t.Context())
			apply(pipeline.VerbBan, "192.0.2.1")
			apply(pipeline.VerbBan, "2001:db8::1")
			apply(pipeline.VerbUnban, "192.0.2.1")
			c.Stop(t.Context(), []pipeline.Banned{{Ban: pipeline.Ban{ID: pipeline.ParseID("2001:db8::1")}}})
			if st := c.State(); st.Failed > 0 {
				t.Errorf("%s: stop: %s", name, st.Problem)
			}
			if c.Holds() != 0 {
				t.Errorf("%s still holds %d", name, c.Holds())
			}
		}
		if strings.HasPrefix(name, "nftables") || name == "route" {
			run() // in this thread's network namespace, and on one table
			continue
		}
		wg.Go(run)
	}
	wg.Wait()
	if files, _ := filepath.Glob(filepath.Join(work, "*PWNED*")); len(files) > 0 {
		t.Fatalf("a value was executed: %v", files)
	}
	text, _ := os.ReadFile(called)
	for _, want := range []string{
		"iptables <-w> <-I> <f2b-sshd> <1> <-s> <192.0.2.1> <-j> <REJECT> <--reject-with> <icmp-port-unreachable>",
		"ip6tables <-w> <-I> <f2b-sshd> <1> <-s> <2001:db8::1> <-j> <REJECT> <--reject-with> <icmp6-port-unreachable>",
		"ipset <-exist> <add> <f2b-sshd> <192.0.2.1> <timeout> <0>",
		"firewall-cmd <--direct> <--add-rule> <ipv6> <filter> <f2b-sshd> <0> <-s> <2001:db8::1>",
		"ufw <prepend> <reject> <from> <192.0.2.1> <to> <any> <comment> <f2bpipe: sshd, 5 failures>",
		"Subject: [Fail2Ban] sshd: banned 192.0.2.1 from ",
		"x'; touch PWNED; $(touch PWNED)",
		"--data-urlencode> <ip=2001:db8::1>",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no action called %q", want)
		}
	}
}

// Cloudflare's action bans by HTTP, and frees by the ID that it is told.
func TestCloudflareAction(t *testing.T) {
	testenv.NeedTool(t, "curl")
	var mu sync.Mutex
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		mu.Lock()
		requests = append(requests, r.Method+" "+r.URL.String()+" "+string(body[:n]))
		mu.Unlock()
		w.Write([]byte(`{"success":true,"result":[{"id":"0123456789abcdef0123456789abcdef"}]}`))
	}))
	defer server.Close()
	dir := stockTree(t)
	path := filepath.Join(dir, "action.d", "cloudflare-token.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	local := strings.ReplaceAll(string(text), "https://api.cloudflare.com", server.URL)
	if local == string(text) {
		t.Fatal("the action has another address")
	}
	if err := os.WriteFile(path, []byte(local), 0o644); err != nil {
		t.Fatal(err)
	}
	c := engineCommand(t, config.Options{Dir: dir}, `cloudflare-token[cfzone=zone, cftoken=token, name=sshd]`, func(b *pipeline.Ban) map[string]string { return banTags(b.ID.String()) })
	b := pipeline.Ban{ID: pipeline.ParseID("192.0.2.1")}
	c.Start(t.Context())
	c.Apply(t.Context(), 0, []pipeline.Order{{Verb: pipeline.VerbBan, Ban: b}})
	c.Apply(t.Context(), 0, []pipeline.Order{{Verb: pipeline.VerbUnban, Ban: b}})
	if st := c.State(); st.Failed > 0 || st.Done == 0 {
		t.Errorf("%+v", st)
	}
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(requests, "\n")
	for _, want := range []string{"POST /client/v4/zones/zone/firewall/access_rules/rules ", `"192.0.2.1"`, "DELETE /client/v4/zones/zone/firewall/access_rules/rules/0123456789abcdef0123456789abcdef"} {
		if !strings.Contains(all, want) {
			t.Errorf("no request has %q:\n%s", want, all)
		}
	}
}
