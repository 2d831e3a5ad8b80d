//go:build cgo

// Package arena, imported for its effect by the programs, has the C library use one malloc arena for all threads. Every thread of the Go
// runtime frees a few bytes of the C library's as it starts, for which that would give each an arena of its own: four system calls and
// some page faults a thread, 8 % of the processor time of `zbox state`.
package arena

/*
#include <malloc.h>

__attribute__((constructor)) static void share_arena(void)
{
	mallopt(M_ARENA_MAX, 1);
}
*/
import "C"
