// Package integration is the harness of the tests that run a real OCI runtime on the real kernel: it makes bundles, runs the
// runtime, and proves after every test that nothing is left behind.
//
// RUNTIME names the runtime's binary (default bin/zbox), so that the same tests run on other runtimes, which proves the tests.
// V2VIEW=1 runs everything in a private mount namespace where cgroup v2 alone is mounted.
package integration
