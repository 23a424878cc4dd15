package service

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/runner"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/internal/testenv"
	"github.com/f2bpipe/f2bpipe/pipeline"
	"github.com/f2bpipe/f2bpipe/sinks"
)

// actionStep is a method of an action, the address that it is about, and how its
// commands end.
type actionStep struct {
	method, ip string
	outcome    []bool
}

// actionJob is an action with its parameters and what is done with it.
type actionJob struct {
	config, name string
	params       map[string]string
	steps        []actionStep
}

// recorder is a runner that executes nothing.
type recorder struct {
	program  *runner.Program
	commands [][]string
	outcome  []bool
}

func (r *recorder) Hold(context.Context, []runner.Definition) ([]runner.Definition, error) {
	return nil, nil
}
func (r *recorder) Close() error { return nil }

func (r *recorder) Run(_ context.Context, c runner.Call) (runner.Result, error) {
	values := maps.Clone(c.Values)
	if values == nil {
		values = map[string]string{}
	}
	name, _ := os.Hostname() // both take it from the host
	values["fq-hostname"], values["sh-hostname"] = name, name
	text, args := r.program.Script(c.Phase, c.Family, values)
	r.commands = append(r.commands, append([]string{text}, args...))
	ok := true
	if len(r.outcome) > 0 {
		ok, r.outcome = r.outcome[0], r.outcome[1:]
	}
	return runner.Result{OK: ok}, nil
}

// banTags are the values that both are told.
func banTags(ip string) map[string]string {
	hostile := "a 'b' \"c\" $(touch pwned) `touch pwned`; touch pwned\n| x"
	tags := map[string]string{
		"ip": ip, "fid": ip, "failures": "5", "time": "1795168800.0", "bantime": "600", "bancount": "1", "restored": "0",
		"ip-rev": "1.2.0.192.", "ip-host": "None", "matches": hostile, "ipmatches": hostile + "2", "ipjailmatches": "plain text", "ipfailures": "7",
		"ipjailfailures": "6", "jail.banned": "1", "jail.found": "2",
		"family": "inet4",
	}
	if strings.Contains(ip, ":") {
		tags["family"] = "inet6"
	}
	return tags
}

func banFields() map[string]string { return map[string]string{"user": "o'$(id)", "fport": "22"} }

// ourCommands returns what we execute for a job.
func ourCommands(t *testing.T, job actionJob) [][][]string {
	t.Helper()
	spec := job.name
	for _, k := range slices.Sorted(maps.Keys(job.params)) {
		spec += "[" + k + "=\"" + job.params[k] + "\"]"
	}
	o := config.Options{Dir: job.config}
	a := actionsOf(t, o, []string{spec})[0]
	d := runner.Define("jail", &a)
	p, err := runner.Compile(d)
	if err != nil {
		t.Fatalf("%s: %v", job.name, err)
	}
	rec := &recorder{program: p}
	x := &action{name: a.ActName, by: byCommands, digest: d.Digest(), program: p, wants: wantedTags(p)}
	values := func(_ context.Context, _ sinks.Phase, b *pipeline.Ban) map[string]string {
		tags := banTags(b.ID.String())
		for k, v := range banFields() {
			tags["F-"+k] = v
		}
		return tags
	}
	c := sinks.NewCommand(sinks.CommandConfig{
		Commands: &commands{run: rec, action: x}, Values: values, OnDemand: p.OnDemand(), NoRestored: d.NoRestored, RepairOnUnban: d.RepairOnUnban,
	})
	jail := pipeline.NewJail("jail", pipeline.Policy{})
	var held []pipeline.Banned
	var out [][][]string
	for _, s := range job.steps {
		rec.commands, rec.outcome = nil, s.outcome
		b := pipeline.Ban{Jail: jail, ID: pipeline.ParseID(s.ip), UntilNanos: pipeline.Permanent}
		apply := func(v pipeline.Verb) { c.Apply(t.Context(), 0, []pipeline.Order{{Verb: v, Ban: b}}) }
		switch s.method {
		case "start":
			c.Start(t.Context())
		case "ban":
			apply(pipeline.VerbBan)
			held = append(held, pipeline.Banned{Ban: b})
		case "unban":
			apply(pipeline.VerbUnban)
			held = slices.DeleteFunc(held, func(h pipeline.Banned) bool { return h.ID == b.ID })
		case "prolong":
			apply(pipeline.VerbProlong)
		case "reload":
			c.Reload(t.Context())
		case "stop":
			c.Stop(t.Context(), held)
		}
		out = append(out, rec.commands)
	}
	return out
}

// theirCommands returns what Debian's fail2ban executes for the jobs.
func theirCommands(t *testing.T, jobs []actionJob) [][][][]string {
	t.Helper()
	python := testenv.Python(t)
	var list []map[string]any
	for _, j := range jobs {
		var steps []any
		for _, s := range j.steps {
			var info map[string]any
			if s.ip != "" {
				info = map[string]any{"F-*": banFields()}
				for k, v := range banTags(s.ip) {
					info[k] = v
				}
			}
			outcome := append([]bool{}, s.outcome...)
			steps = append(steps, []any{s.method, info, outcome})
		}
		list = append(list, map[string]any{"config": j.config, "action": j.name, "params": j.params, "steps": steps})
	}
	task, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/actions.py")
	cmd.Stdin = bytes.NewReader(task)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("actions.py: %v\n%s", err, stderr.String())
	}
	var results []struct {
		Error string
		Steps [][][]string
	}
	if err := json.Unmarshal(text, &results); err != nil {
		t.Fatal(err)
	}
	var out [][][][]string
	for i, r := range results {
		if r.Error != "" {
			t.Fatalf("%s: %s", jobs[i].name, r.Error)
		}
		out = append(out, r.Steps)
	}
	return out
}

// sameCommand says whether two commands are one; the order of variables in
// their first line is nobody's business.
func sameCommand(a, b []string) bool {
	return slices.Equal(a, b) || slices.Equal(resolved(a), resolved(b))
}

// resolved returns a command with the values beside the names of their variables.
func resolved(c []string) []string {
	head, rest, ok := strings.Cut(c[0], "\n")
	if !ok || len(c) < 2 {
		return c
	}
	var vars []string
	for i, w := range strings.Fields(head) {
		name, _, _ := strings.Cut(w, "=")
		if i+1 < len(c) {
			vars = append(vars, name+"="+c[i+1])
		}
	}
	slices.Sort(vars)
	return append([]string{rest}, vars...)
}

// stockTree writes the embedded configuration to a directory.
func stockTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, stock.FS()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestActionsRunAsFail2bansDo compares the commands of every action file of ours
// and of Debian's, over an action's life, with those that fail2ban executes.
func TestActionsRunAsFail2bansDo(t *testing.T) {
	testenv.Python(t)
	const v4, v6, other = "192.0.2.1", "2001:db8::1", "198.51.100.2"
	life := []actionStep{
		{method: "start"}, {method: "ban", ip: v4}, {method: "ban", ip: other}, {method: "ban", ip: v6}, {method: "unban", ip: v4},
		{method: "prolong", ip: other}, {method: "reload"}, {method: "stop"},
	}
	broken := []actionStep{
		{method: "start"}, {method: "ban", ip: v4},
		{"ban", other, []bool{false, false, true, true, true, true}}, // the ban, then the check
		{"ban", v6, []bool{false}},
		{"unban", other, []bool{false, false}},
	}
	var jobs []actionJob
	dirs := []string{stockTree(t)}
	if _, err := os.Stat("/etc/fail2ban/action.d"); err == nil {
		dirs = append(dirs, "/etc/fail2ban")
	}
	for _, dir := range dirs {
		for _, name := range actionNames(t, dir) {
			if strings.HasSuffix(name, "-common") {
				continue
			}
			params := map[string]string{"name": "sshd", "actname": name, "port": "ssh,8000:8010", "protocol": "tcp,udp", "logpath": "/dev/null"}
			jobs = append(jobs, actionJob{dir, name, params, life}, actionJob{dir, name, params, broken})
		}
	}
	their := theirCommands(t, jobs)
	compared := 0
	for i, job := range jobs {
		our := ourCommands(t, job)
		for k, s := range job.steps {
			// What they do not start on demand they stop to put it right, and do not
			// start again: nothing is refused from then on. We start it.
			if len(s.outcome) == 6 && slices.ContainsFunc(our[0], func(c []string) bool { return c[0] != "" }) {
				break
			}
			if !slices.EqualFunc(our[k], their[i][k], sameCommand) {
				t.Errorf("%s: %s: %s %s %v:\nours   %q\ntheirs %q", filepath.Base(job.config), job.name, s.method, s.ip, s.outcome, our[k], their[i][k])
				break
			}
			compared += len(our[k])
		}
	}
	t.Logf("%d commands of %d actions", compared, len(jobs)/2)
}
