package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Config says what may still be written.
type Config struct {
	Dirs  []string // folders, with all in them; those that are not there are left out
	Files []string // files that are there
}

// State is what is in force.
type State struct {
	Landlock int    // version of the kernel's ABI; 0: not in force
	Seccomp  bool   // with no-new-privileges
	Missing  string // what is not in force, and why; empty: all is
}

// String is the state in a few words.
func (s State) String() string {
	var in []string
	if s.Landlock > 0 {
		in = append(in, fmt.Sprintf("landlock %d", s.Landlock))
	}
	if s.Seccomp {
		in = append(in, "seccomp")
	}
	if len(in) == 0 {
		in = []string{"nothing"}
	}
	text := strings.Join(in, ", ")
	if s.Missing != "" {
		text += "; not in force: " + s.Missing
	}
	return text
}

// forbidden are the system calls that nothing of ours makes after the start,
// and that an attacker would. What the machine's architecture lacks is left out.
var forbidden = []string{
	"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
	"bpf", "perf_event_open", "userfaultfd", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "lookup_dcookie",
	"unshare", "setns", "open_by_handle_at", "acct", "quotactl", "quotactl_fd", "syslog", "personality", "iopl", "ioperm", "vhangup", "nfsservctl",
	"settimeofday", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime", "clock_adjtime64", "stime", "sethostname", "setdomainname",
	"add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register", "mknod", "mknodat", "fanotify_init",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
}

// Enter locks all threads of the process in. What the kernel lacks is no error
// but in the State. Entered once, it cannot be left.
func Enter(cfg Config) (State, error) {
	state := State{}
	// A socket may be connected to, and a process signalled: neither is handled.
	rules := []landlock.Rule{landlock.RODirs("/"), landlock.RWFiles("/dev/null").IgnoreIfMissing()}
	if len(cfg.Dirs) > 0 {
		rules = append(rules, landlock.RWDirs(cfg.Dirs...).IgnoreIfMissing())
	}
	if len(cfg.Files) > 0 {
		rules = append(rules, landlock.RWFiles(cfg.Files...).IgnoreIfMissing())
	}
	version, err := llsys.LandlockGetABIVersion()
	switch {
	case err != nil || version < 1:
		state.Missing = "landlock: the kernel lacks it or has it switched off (lsm=)"
	default:
		if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
			return state, fmt.Errorf("enter landlock: %w", err)
		}
		state.Landlock = version
	}
	if err := filter(); err != nil {
		state.Missing = strings.TrimPrefix(state.Missing+"; seccomp: "+err.Error(), "; ")
		return state, nil
	}
	state.Seccomp = true
	return state, nil
}

// filter loads the seccomp filter for all threads.
func filter() error {
	if !seccomp.Supported() {
		return errors.New("the kernel lacks it")
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var names []string
	for _, name := range forbidden {
		if _, known := info.SyscallNames[name]; known {
			names = append(names, name)
		}
	}
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: names}},
		},
	})
}

// insideEnv marks a process that was begun anew inside a sandbox.
const insideEnv = "F2BPIPE_INSIDE"

// Inside returns the state of a sandbox that this process was begun in by
// itself; ok is false where it was begun outside.
func Inside() (s State, ok bool) {
	text, ok := os.LookupEnv(insideEnv)
	if !ok {
		return State{}, false
	}
	_, _ = fmt.Sscanf(text, "%d %t", &s.Landlock, &s.Seccomp)
	return s, true
}

// Environ returns the environment for a process that is begun anew in this
// sandbox: it does not enter another one, of which the kernel takes sixteen.
func (s State) Environ(environ []string) []string {
	return append(environ, fmt.Sprintf("%s=%d %t", insideEnv, s.Landlock, s.Seccomp))
}
