package ignore

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(&Cache{Key: "<ip>", MaxCount: 2, MaxTime: time.Minute})
		f := func(key, want string) {
			t.Helper()
			got := "nothing"
			if ignore, ok := c.get(key); ok && ignore {
				got = "ignore"
			} else if ok {
				got = "count"
			}
			if got != want {
				t.Errorf("%s: %s, want %s", key, got, want)
			}
		}
		c.set("a", true)
		c.set("b", false)
		f("a", "ignore")
		f("b", "count")
		f("c", "nothing")
		c.set("c", true)
		f("a", "nothing")
		f("b", "count")
		time.Sleep(time.Minute)
		f("b", "nothing")
		f("c", "nothing")
		c.set("c", false)
		f("c", "count")
	})
	// Bounds that make no sense leave a cache of one.
	c := newCache(&Cache{Key: "<ip>", MaxCount: -1, MaxTime: time.Minute})
	c.set("a", true)
	if ignore, ok := c.get("a"); !ignore || !ok {
		t.Error("a cache without room")
	}
}
