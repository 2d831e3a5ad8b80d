//go:build cgo && embed_stage

// With the stage embedded (make build) the linker is told to wrap pthread_create, too.
package sysmon

/*
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>

static const long slack_ns = 5 * 1000 * 1000;

extern int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	static bool begun;
	static long usual;
	const long own = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	long its = slack_ns;

	// The first thread that the Go runtime creates is sysmon, before there is anybody else. A new thread has the slack of its creator,
	// which may be sysmon: the others are to have what the program began with, and so are the processes that they start.
	if (!__atomic_exchange_n(&begun, true, __ATOMIC_RELAXED))
		usual = own;
	else if (own == usual)
		return __real_pthread_create(thread, attr, start, arg);
	else
		its = usual;
	prctl(PR_SET_TIMERSLACK, its, 0, 0, 0);
	const int err = __real_pthread_create(thread, attr, start, arg);
	prctl(PR_SET_TIMERSLACK, own, 0, 0, 0);
	return err;
}
*/
import "C"
