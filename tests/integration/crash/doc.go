// Package crash tests that a kill -9 at any moment of any command, concurrency and damaged state leave nothing that one
// `zbox delete --force` does not remove. Its tests re-execute the test binary as a tracer (ptrace(2)), which kills zbox or
// the stage at a chosen system call.
package crash
