package control

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzPickle reads arbitrary pickles. What is read can be written and read
// again, is no larger than its limits, and never depends on what follows it.
func FuzzPickle(f *testing.F) {
	for _, seed := range []string{
		"\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94\x8c\x04ping\x94a.",
		"(lp0\nVstatus\np1\naI1\naF0.5\naL7L\na.",
		"\x80\x02](U\x06statusU\x04sshde.",
		"\x80\x04(\x8f\x94(K\x01K\x02\x90}\x94\x8c\x01a\x88st.",
		"(I1\ncfail2ban.exceptions\nUnknownJailException\n(Vnojail\ntRt.",
		"]\x94(h\x00h\x00e.",
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{Values: 1000, Depth: 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := Decode(data, limits)
		if err != nil && !errors.Is(err, ErrPickle) {
			t.Fatalf("error of another kind: %v", err)
		}
		reply, replyErr := DecodeReply(data, limits)
		if err == nil {
			if replyErr != nil || Repr(reply) != Repr(request) {
				t.Fatalf("as a reply: %s, %v; as a request: %s", Repr(reply), replyErr, Repr(request))
			}
			if _, err := Decode(append(bytes.Clone(data), 0xff), limits); err != nil {
				t.Fatalf("with a byte more: %v", err)
			}
		}
		if replyErr != nil {
			return
		}
		if n, depth := size(reply); n > limits.Values || depth > limits.Depth {
			t.Fatalf("%d values, depth %d", n, depth)
		}
		if e, ok := reply.(*Exception); ok && strings.ContainsAny(e.Module+e.Name, "\n") {
			return // class names of ours are no input
		}
		written, err := Encode(nil, reply)
		if err != nil {
			t.Fatalf("encode %s: %v", Repr(reply), err)
		}
		if bytes.Contains(written, []byte(frameEnd)) && !bytes.Contains(data, []byte(frameEnd)) {
			t.Fatalf("end mark in %q", written)
		}
	})
}

// size counts values and containers within containers.
func size(v any) (n, depth int) {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case Tuple:
		items = v
	case Set:
		items = v
	case Dict:
		for _, p := range v {
			items = append(items, p.Key, p.Value)
		}
	case *Exception:
		items = v.Args
	default:
		return 1, 0
	}
	n = 1
	for _, item := range items {
		inner, below := size(item)
		n += inner
		depth = max(depth, below+1)
	}
	return n, depth
}

// FuzzFrame cuts a stream into frames byte by byte and all at once: the frames
// are the same, and none is longer than allowed.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a" + frameEnd + "bc" + frameEnd + frameClose + frameEnd + "rest"))
	f.Add([]byte("<F2B_END_<F2B_END_COMMAND>"))
	f.Add([]byte(strings.Repeat("x", 100) + frameEnd))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err1 := allFrames(bytes.NewReader(stream), nil)
		bytewise, err2 := allFrames(iotest.OneByteReader(bytes.NewReader(stream)), nil)
		charged := 0
		budget, err3 := allFrames(iotest.HalfReader(bytes.NewReader(stream)), func(n int) bool { charged += n; return true })
		if charged != 0 {
			t.Fatalf("%d bytes are charged at the end", charged)
		}
		if !errors.Is(err2, err1) || !errors.Is(err3, err1) {
			t.Fatalf("errors differ: %v, %v, %v", err1, err2, err3)
		}
		if strings.Join(whole, "|") != strings.Join(bytewise, "|") || strings.Join(whole, "|") != strings.Join(budget, "|") {
			t.Fatalf("frames differ:\n%q\n%q\n%q", whole, bytewise, budget)
		}
		want := strings.Split(string(stream), frameEnd)
		for i, frame := range whole {
			if frame != want[i] || len(frame) > 64 {
				t.Fatalf("frame %d is %q, want %q", i, frame, want[i])
			}
		}
	})
}

func allFrames(r io.Reader, reserve func(int) bool) (frames []string, err error) {
	f := frameReader{r: r, max: 64, reserve: reserve}
	defer f.release()
	for {
		frame, err := f.next()
		if err != nil {
			if errors.Is(err, ErrFrameTooLong) {
				err = ErrFrameTooLong
			}
			return frames, err
		}
		frames = append(frames, string(frame))
	}
}

// TestFramesAfterLong reads many short frames that arrive behind a long one:
// none is moved more than a few times, and the long one's memory comes back.
func TestFramesAfterLong(t *testing.T) {
	const short = 300_000
	long := strings.Repeat("x", 4<<20)
	stream := long + frameEnd + strings.Repeat("y"+frameEnd, short)
	charged, most := 0, 0
	f := frameReader{r: strings.NewReader(stream), max: 8 << 20, reserve: func(n int) bool {
		charged += n
		most = max(most, charged)
		return true
	}}
	if frame, err := f.next(); err != nil || string(frame) != long {
		t.Fatalf("%d bytes, %v", len(frame), err)
	}
	for i := range short {
		if frame, err := f.next(); err != nil || string(frame) != "y" {
			t.Fatalf("frame %d: %.20q, %v", i, frame, err)
		}
	}
	if _, err := f.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if charged != 0 || most < len(long)-freeFrame || cap(f.buf) > 4*freeFrame {
		t.Errorf("charged %d, at most %d, buffer of %d", charged, most, cap(f.buf))
	}
}
