//go:build cgo && embed_stage

package fortify

/*
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef __GLIBC__

// What __builtin_object_size knows of the destination: (size_t)-1 is nothing.
static void check(size_t wanted, size_t there)
{
	if (wanted > there)
		abort();
}

void *__memcpy_chk(void *to, const void *from, size_t n, size_t there)
{
	check(n, there);
	return memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t there)
{
	check(n, there);
	return memmove(to, from, n);
}

void *__memset_chk(void *to, int byte, size_t n, size_t there)
{
	check(n, there);
	return memset(to, byte, n);
}

// The flag asks for no %n in writable memory, which musl does not know.
int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	const int n = vfprintf(file, format, args);
	va_end(args);
	return n;
}

#endif
*/
import "C"
