package sinks

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// compareEvery is the time between two comparisons of the kernel with what is wanted.
	compareEvery = time.Minute
	// retryEvery is how often Run looks whether the time for another try has come.
	retryEvery = time.Second
)

// Run keeps in the kernel what is wanted until ctx is done: it hears of
// whoever else changes the ruleset and puts back what was ours, tries again
// what could not be done, and compares from time to time. Without it Apply
// still heals what it stumbles over. It blocks.
func (n *NFTables) Run(ctx context.Context) {
	foreign := make(chan damage)
	var listening sync.WaitGroup
	listening.Go(func() { n.listen(ctx, foreign) })
	defer listening.Wait()
	retry, compare := time.NewTicker(retryEvery), time.NewTicker(compareEvery)
	defer retry.Stop()
	defer compare.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-foreign:
			n.repair(d)
		case <-retry.C:
			n.retry()
		case <-compare.C:
			n.Compare()
		}
	}
}

// damage is what a foreign transaction did to a table that may be ours.
type damage struct {
	layout bool            // a table, chain, set or rule
	sets   map[string]bool // the sets that elements were deleted from
}

func (d *damage) empty() bool { return !d.layout && len(d.sets) == 0 }

// listen hands over the damage of each foreign transaction. It ends with ctx.
func (n *NFTables) listen(ctx context.Context, foreign chan<- damage) {
	n.listener.conn.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { n.listener.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for ctx.Err() == nil {
		err := n.listener.conn.JoinGroup(unix.NFNLGRP_NFTABLES)
		if err == nil {
			break
		}
		// Without rights nothing can be written either: State says so already.
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	var seen damage
	for ctx.Err() == nil {
		read, err := n.listener.receive(0)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			seen.layout = true // notifications were lost: everything may have happened
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			n.log.Error("changes of the ruleset are not heard any more", "reason", err.Error())
			return
		default:
			if !n.note(&seen, n.listener.buf[:read]) {
				continue
			}
		}
		if seen.empty() {
			continue
		}
		select {
		case foreign <- seen:
			seen = damage{}
		case <-ctx.Done():
		}
	}
}

// note adds what the notifications say of our tables, and says whether they
// end a transaction.
func (n *NFTables) note(seen *damage, read []byte) (ended bool) {
	for header, payload := range messages(read) {
		if header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(payload) < genHeader {
			continue
		}
		// The first attribute of everything but a generation names the table.
		const tableName = unix.NFTA_TABLE_NAME
		name := func(kind uint16) string {
			return strings.TrimRight(string(attr(payload[genHeader:], kind)), "\x00")
		}
		switch header.Type & 0xff {
		case unix.NFT_MSG_NEWGEN:
			ended = true
		case unix.NFT_MSG_DELSETELEM:
			if n.layout.owns(payload[0], name(tableName)) {
				if seen.sets == nil {
					seen.sets = make(map[string]bool)
				}
				seen.sets[name(unix.NFTA_SET_ELEM_LIST_SET)] = true
			}
		case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN,
			unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET:
			seen.layout = seen.layout || n.layout.owns(payload[0], name(tableName))
		}
	}
	return ended
}

// ignoreOwn makes the kernel keep the notifications of the connection with
// that port to itself: a large batch of ours would overflow the socket.
func ignoreOwn(l *link, portID uint32) error {
	// A filter loads big-endian; the header's number is in the machine's order.
	loaded := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, portID))
	const offset = 12 // of nlmsg_pid in struct nlmsghdr
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: loaded, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	var err error
	controlErr := l.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	return errors.Join(controlErr, err)
}

// repair puts back what a foreign transaction took.
func (n *NFTables) repair(d damage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.idle() || n.health.stale {
		return
	}
	nowNanos := n.cfg.Now().UnixNano()
	if d.layout {
		if len(n.wantedSets()) == 0 {
			n.layout.forget()
			return
		}
		n.health.stale = true
		if n.resync(nowNanos) == nil {
			n.noteHealed("ruleset")
		}
		return
	}
	for _, s := range n.jailSets() {
		if d.sets[s.name] && s.present {
			n.reload(s, nowNanos)
		}
	}
}

// reload puts the elements of one set back.
func (n *NFTables) reload(s *set, nowNanos int64) {
	s.prune(nowNanos)
	l := load{set: s, items: s.items(nowNanos)}
	if len(l.items) == 0 {
		return
	}
	err := n.refillAll(l, nowNanos)
	if err == nil {
		n.noteHealed(s.name)
		return
	}
	n.health.stale = true
	if n.resync(nowNanos) == nil {
		n.noteHealed("ruleset")
	}
}

// noteHealed counts and logs a repair; who is fought with gets to know how to stop it.
func (n *NFTables) noteHealed(what string) {
	n.health.healed++
	now := n.cfg.Now()
	recent := n.health.recent[:0]
	for _, t := range n.health.recent {
		if now.Sub(t) < time.Minute {
			recent = append(recent, t)
		}
	}
	n.health.recent = append(recent, now)[max(0, len(recent)-63):]
	switch {
	case len(recent) == 0:
		n.log.Warn("bans were removed by somebody else and put back", "what", what)
	case now.Sub(n.health.hinted) >= time.Minute:
		n.health.hinted = now
		n.log.Warn("bans were removed by somebody else again and put back", "what", what, "healed", n.health.healed,
			"to stop", "f2bpipe pause 10m, or f2bpipe unban --all")
	}
}

// retry tries again what could not be done, when its time has come.
func (n *NFTables) retry() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.idle() || !n.health.stale || n.cfg.Now().Before(n.health.retryAt) {
		return
	}
	// The error is noted in State, and logged when it is another than before.
	if n.resync(n.cfg.Now().UnixNano()) == nil && n.health.unreconciled {
		_ = n.reconcile()
	}
}

// getElement is the request that reads one element.
func getElement(s *set, k key) netlink.Message {
	t := new(tx)
	list := &elementList{t: t, tb: s.tb, set: s.name, kind: unix.NFT_MSG_GETSETELEM, keyLen: s.kind.width()}
	list.add(element{key: k})
	list.close()
	return t.msgs[0]
}
