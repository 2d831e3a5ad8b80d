package shim

import "time"

// How long a shim without containers waits for containerd, which has its first one made as soon as it knows the shim's address, and shuts it
// down at once behind the last Delete.
const (
	firstContainerWithin = 30 * time.Second
	shutdownWithin       = 10 * time.Second
)

// endIfForgotten ends the shim after a while, if it has no container then: a containerd that is killed while it makes or deletes a task cannot
// shut the shim down, and the next one takes what is left for a task, which it shows nobody. When the shim ends, it has that deleted.
func (s *service) endIfForgotten(after time.Duration) {
	time.AfterFunc(after, func() {
		if s.end() {
			s.giveUpSocket()
			s.shutdown()
		}
	})
}
