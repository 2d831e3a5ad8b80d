/* A small frame for the stage's tests. Every test runs in a process of its own, so that the stage's static state is
 * fresh; none needs root. System calls that do are replaced at link time (fake.c): they write a line into a log and
 * succeed, unless told otherwise. */
#ifndef ZB_TEST_H
#define ZB_TEST_H

#include "../stage.h"
#include <setjmp.h>

typedef void test_function(void);
struct test {
	const char *name;
	test_function *run;
};
extern const struct test decode_tests[], resolve_tests[], mount_tests[], fs_tests[], cred_tests[], process_tests[],
	report_tests[], exec_tests[], hook_tests[];

void check_at(const char *file, int line, bool good, const char *what);
void same_text_at(const char *file, int line, const char *got, const char *want);
#define CHECK(condition)     check_at(__FILE__, __LINE__, condition, #condition)
#define SAME_TEXT(got, want) same_text_at(__FILE__, __LINE__, got, want)

/* Runs an expression that must fail, and compares errno and detail of the report. */
extern jmp_buf exit_jump;
extern bool exit_caught;
void open_reports(void);
void check_failure(const char *file, int line, int error, const char *detail);
#define FAILS(call, error, detail)                                                                                     \
	do {                                                                                                           \
		open_reports();                                                                                        \
		exit_caught = true;                                                                                    \
		if (setjmp(exit_jump) == 0) {                                                                          \
			call;                                                                                          \
			check_at(__FILE__, __LINE__, false, "did not fail: " #call);                                   \
		}                                                                                                      \
		exit_caught = false;                                                                                   \
		check_failure(__FILE__, __LINE__, error, detail);                                                      \
	} while (0)
extern int reports; /* the other end of the report socket */
struct zb_report next_report(void);

/* fake.c */
extern char call_log[8192];
void fake_error(const char *call, int error); /* the next calls whose line starts so fail */
void fake_kernel_log(const char *message);
extern int fake_tree;    /* open_tree and fsmount answer with a duplicate of this descriptor */
extern mode_t fake_mode; /* what a tree is, if not 0 */
extern dev_t fake_device;
extern uint64_t fake_effective; /* of capget */

/* plan_builder.c: a plan in memory, of which stage.plan is set */
void new_plan(void);
struct zb_ref a_text(const char *s);
struct zb_ref a_list(const char *const *items); /* NULL-terminated */
struct zb_ref some_bytes(const void *bytes, uint32_t length);
#define LIST(...) a_list((const char *const[]){__VA_ARGS__, NULL})
const void *add_step(enum zb_op op, void *record, size_t size);
#define ADD_STEP(op, record) add_step(op, &(record), sizeof(record))
size_t plan_of_every_step(unsigned char *buffer, size_t size);

/* A temporary directory that is the container's root, removed at the end. */
extern char root_dir[64];
void make_root(void);
void put_dir(const char *path);
void put_file(const char *path, const char *content, mode_t mode);
void put_link(const char *path, const char *target);
bool is_there(const char *path);
const char *path_in_root(int fd);

#endif
