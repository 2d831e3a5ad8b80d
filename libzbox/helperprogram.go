package libzbox

import "github.com/bxrne/zbox/nsexec"

// HelperProgram is a small static program for the machine that zbox runs on: as "init PROGRAM ARG..." it is a process 1 that passes signals
// on, reaps, and ends as PROGRAM does. As with shells, its exit code is 127 when there is no PROGRAM and 126 when it cannot be executed. As
// "layers ROOTFS [base] [upper]" it is a createContainer hook that mounts an overlay on ROOTFS: see nsexec/stage/layers.c.
func HelperProgram() ([]byte, error) { return nsexec.HelperProgram() }
