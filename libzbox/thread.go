package libzbox

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnOwnThread calls do on a thread that ends with it, so that nobody gets it with what do has changed (unshare(2), setns(2)). The first thread
// of a process would not end, and keep all that as long as the process lives: it waits for another one.
func OnOwnThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- OnOwnThread(do)
			runtime.UnlockOSThread()
			return
		}
		done <- do() // and the thread stays locked
	}()
	return <-done
}
