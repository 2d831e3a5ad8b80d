//go:build cgo

package main

// Every thread of the Go runtime frees a few bytes of the C library's as it starts, for which the C library would give each an arena of
// its own: four system calls and some page faults a thread, as in zbox.

/*
#include <malloc.h>

__attribute__((constructor)) static void share_arena(void)
{
	mallopt(M_ARENA_MAX, 1);
}
*/
import "C"
