package packaging

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// TestConfined runs the service in its sandbox: every thread and every process
// of its own is in it, it bans, keeps, rotates its log and reloads all the same.
func TestConfined(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a service")
	}
	t.Parallel()
	testenv.NeedTool(t, "nft")
	b := newBox(t)
	b.copyIn(program(t), "/usr/bin/f2bpipe")
	b.sh("rm -rf /etc/fail2ban /var/log/* /var/lib/fail2ban; mkdir -p /var/log/app; : >/var/log/app/auth.log")
	b.write("/etc/f2bpipe/jail.local", "[sshd]\nenabled = true\nlogpath = /var/log/app/auth.log\nmaxretry = 1\nbantime = 1h\n")
	service := b.command("f2bpipe", "run", "--logtarget", "/var/log/fail2ban.log")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Kill()
		_ = service.Wait()
		if t.Failed() {
			log, _ := b.run("cat", "/var/log/fail2ban.log")
			t.Log(log)
		}
	})
	b.until(10*time.Second, "f2bpipe status", func() bool { _, status := b.run("f2bpipe", "status"); return status == 0 })
	b.until(10*time.Second, "the sandbox is told", func() bool {
		out, _ := b.run("cat", "/var/log/fail2ban.log")
		return strings.Contains(out, "sandbox")
	})
	log := b.ok("cat", "/var/log/fail2ban.log")
	if strings.Contains(log, "not in force") || strings.Contains(log, "not all is in force") {
		t.Skipf("the kernel of this machine lacks what is tested: %s", log)
	}
	pid := b.ok("pgrep", "--oldest", "--exact", "f2bpipe")
	threads := b.sh("cat /proc/" + pid + "/task/*/status")
	if n, in := strings.Count(threads, "Seccomp:"), strings.Count(threads, "Seccomp:\t2\n")+strings.Count(threads+"\n", "Seccomp:\t2\n\n"); n == 0 || in < n {
		t.Errorf("%d of %d threads have a seccomp filter", in, n)
	}
	if regexp.MustCompile(`NoNewPrivs:\t0`).MatchString(threads) {
		t.Error("a thread may gain privileges")
	}

	line := time.Now().UTC().Format(time.RFC3339) + " host sshd[1]: Failed password for root from 192.0.2.77 port 22 ssh2"
	b.sh("echo '" + line + "' >>/var/log/app/auth.log")
	b.until(10*time.Second, "a ban", func() bool { _, status := b.run("f2bpipe", "banned", "192.0.2.77"); return status == 0 })
	b.says("nft", "list", "ruleset").succeeds().has("192.0.2.77")

	// The log of tomorrow is another file, in a folder that it cannot write.
	b.sh("mv /var/log/fail2ban.log /var/log/fail2ban.log.1; kill -USR1 " + pid)
	b.ok("f2bpipe", "ban", "192.0.2.78")
	b.until(10*time.Second, "a new log", func() bool {
		out, _ := b.run("cat", "/var/log/fail2ban.log")
		return strings.Contains(out, "192.0.2.78")
	})
	b.ok("f2bpipe", "reload")
	b.ok("f2bpipe", "stop")
	b.until(10*time.Second, "its end", func() bool { _, status := b.run("pgrep", "--exact", "f2bpipe"); return status != 0 })
	b.says("sh", "-c", "ls /run/fail2ban").hasNot("sock")

	// What was banned is there at the next start.
	again := b.command("f2bpipe", "run")
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Process.Kill(); _ = again.Wait() })
	b.until(10*time.Second, "the ban is restored", func() bool { _, status := b.run("f2bpipe", "banned", "192.0.2.77"); return status == 0 })
}
