package sinks

import "errors"

// ErrPaused is the error of orders while the sink is paused. What they want is
// kept and carried out by Resume.
var ErrPaused = errors.New("enforcement is paused")

// Pause takes everything of ours out of the kernel and keeps it out until
// Resume: for somebody who is locked out, or who is fought with.
func (n *NFTables) Pause() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused {
		return nil
	}
	if err := n.removeAll(); err != nil {
		return err
	}
	n.paused = true
	n.layout.forget()
	for _, s := range n.jailSets() {
		s.present, s.clean = false, false
	}
	n.log.Warn("enforcement is paused")
	return nil
}

// Resume puts back all that is wanted.
func (n *NFTables) Resume() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.paused {
		return nil
	}
	n.paused = false
	n.health.stale = true
	n.log.Info("enforcement is resumed")
	return n.resync(n.cfg.Now().UnixNano())
}
