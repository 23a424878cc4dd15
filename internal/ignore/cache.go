package ignore

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxCache is the most decisions that an ignorecache keeps, whatever it says.
const maxCache = 1_000_000

// cache keeps decisions of an ignorecommand.
type cache struct {
	key  *command // the key's template
	life time.Duration

	mu    sync.Mutex
	known *simplelru.LRU[string, decision]
}

type decision struct {
	ignore bool
	until  time.Time
}

func newCache(c *Cache) *cache {
	// The only error is a size below 1.
	known, _ := simplelru.NewLRU[string, decision](min(max(c.MaxCount, 1), maxCache), nil)
	return &cache{key: parseCommand(c.Key), life: c.MaxTime, known: known}
}

// get returns a decision that still holds.
func (c *cache) get(key string) (ignore, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.known.Get(key)
	return d.ignore && ok, ok && time.Now().Before(d.until)
}

func (c *cache) set(key string, ignore bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Add(key, decision{ignore, time.Now().Add(c.life)})
}
