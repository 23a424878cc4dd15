package testenv

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RefuseNetfilter makes socket(AF_NETLINK, …, NETLINK_NETFILTER) fail with
// errno for the rest of this process and for what it executes: a kernel without
// netfilter, or a container's profile.
func RefuseNetfilter(errno unix.Errno) error {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	const argument = 16 // of struct seccomp_data, where the lower half comes first
	program := []unix.SockFilter{
		load(0), unless(unix.SYS_SOCKET, 5),
		load(argument), unless(unix.AF_NETLINK, 3),
		load(argument + 16), unless(unix.NETLINK_NETFILTER, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
