package runner

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// A frame is four bytes of length, most significant first, and JSON.
const maxFrame = 16 << 20

// request is what a client asks.
type request struct {
	ID    uint64       `json:"id"`
	Holds bool         `json:"holds,omitempty"` // asks to hold these
	Hold  []Definition `json:"hold,omitempty"`
	Call  *Call        `json:"call,omitempty"` // asks to run this
}

// response is what a server answers.
type response struct {
	ID        uint64       `json:"id"`
	Restarted bool         `json:"restarted,omitempty"` // no answer: what was asked before has none any more
	Error     string       `json:"error,omitempty"`
	Missing   []Definition `json:"missing,omitempty"`
	Result    Result       `json:"result"`
}

// frames writes frames, from any goroutine.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.writeRaw(text)
}

func (f *frames) writeRaw(text []byte) error {
	if len(text) > maxFrame {
		return fmt.Errorf("a message of %d bytes, %d are the most", len(text), maxFrame)
	}
	frame := make([]byte, 4, 4+len(text))
	binary.BigEndian.PutUint32(frame, uint32(len(text)))
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.w.Write(append(frame, text...))
	return err
}

// readRaw reads one frame.
func readRaw(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a message of %d bytes, %d are the most", n, maxFrame)
	}
	text := make([]byte, n)
	_, err := io.ReadFull(r, text)
	return text, err
}

// read reads one frame into v.
func read(r io.Reader, v any) error {
	text, err := readRaw(r)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
