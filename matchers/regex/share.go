package regex

import "sync"

// maxShared bounds how many tables of a kind are shared; what comes after is
// made anew each time.
const maxShared = 4096

// shared keeps tables that are never changed, so that equal ones of all
// patterns are one. It is safe for use by several goroutines; what it keeps
// stays for the life of the process (some 2 MiB at most).
type shared[K comparable, V any] struct {
	mu   sync.Mutex
	kept map[K]*V
}

// get returns the table of key, which make makes where there is none.
func (s *shared[K, V]) get(key K, make func() *V) *V {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.kept[key]
	if v == nil {
		v = make()
		if len(s.kept) < maxShared {
			s.kept[key] = v
		}
	}
	return v
}

// sharedSets are by their ranges, sharedNext by what they are made from.
var (
	sharedSets  = shared[string, set]{kept: map[string]*set{}}
	sharedIndex = shared[nextTable, nextTable]{kept: map[nextTable]*nextTable{}}
	sharedNext  = shared[[2]byteSet, nextTable]{kept: map[[2]byteSet]*nextTable{}}
)
