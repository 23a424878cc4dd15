package ignore

import (
	"context"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// The kernel tells of an address that comes, and it is an own one then.
func TestKernelTellsOfAddresses(t *testing.T) {
	testenv.NeedTool(t, "ip")
	done := make(chan struct{})
	go func() { // its thread does not come back from the namespace
		defer close(done)
		testenv.Netns(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		want := []string{"192.0.2.1", "2001:db8::1"}
		calls := 0
		listenAddresses(ctx, func() {
			if calls++; calls == 1 {
				for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", "192.0.2.1/32", "dev", "lo"}, {"addr", "add", "2001:db8::1/128", "dev", "lo"}} {
					if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
						t.Errorf("ip %v: %v: %s", args, err, out)
						cancel()
					}
				}
			}
			addrs, err := interfaceAddrs()
			if err != nil {
				t.Error(err)
			}
			want = slices.DeleteFunc(want, func(a string) bool { return slices.Contains(addrs, netip.MustParseAddr(a)) })
			// The first call has seen both; what counts is that the kernel told of them.
			if len(want) == 0 && calls >= 3 {
				cancel()
			}
		})
		if ctx.Err() != context.Canceled {
			t.Errorf("after 10 s %d calls, missing %v", calls, want)
		}
	}()
	<-done
}
